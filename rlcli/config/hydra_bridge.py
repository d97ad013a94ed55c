"""Composition of config files by Hydra, group choices in, plain data and its sources out.

Hydra's public compose API hides the layers a value came through, and `@hydra.main` owns `sys.argv`, the
messages and the exit codes. So the config loader is built here by private calls (hydra-core < 1.4 is pinned
for that), and everything else gets plain data. Only the modules named hydra_* import Hydra.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import yaml
from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra._internal.defaults_list import create_defaults_list
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.core.utils import JobRuntime, setup_globals
from hydra.errors import HydraException
from hydra.plugins.config_source import ConfigLoadError, ConfigResult, ConfigSource
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from rlcli.config.extensions import ROWS
from rlcli.config.groups import SYNTHESISED, roots
from rlcli.config.hydra_grammar import reason
from rlcli.config.hydra_source import SCHEME, PlainConfigs
from rlcli.config.interpolation import LARGEST, written_out
from rlcli.config.schema.keys import KEYS
from rlcli.config.setting import Element
from rlcli.config.values import display
from rlcli.errors import UserError

PRIMARY = "train"


class SynthesisedConfigs(ConfigSource):
    """Configs without a file: the schema's defaults, `env/<any id>`, and the choices that set nothing.

    It comes after the folders in the search path, so a yaml of the same name wins.
    """

    @staticmethod
    def scheme() -> str:
        """Paths of this source start with `rlcli://`."""
        return "rlcli"

    def load_config(self, config_path: str) -> ConfigResult:
        """The synthesised config of that path."""
        name = config_path.removesuffix(".yaml")
        group, _, choice = name.partition("/")
        package: str | None = None
        if name == "schema":
            content: dict[str, Any] = _nested_defaults()
        elif group == "env" and choice:
            content = {"id": choice}
        elif choice in ROWS.get(group, ()):
            content = dict(ROWS[group][choice].content)
        elif choice in SYNTHESISED.get(group, ()):
            content, package = {}, "_global_"
        else:
            raise ConfigLoadError(f"no config {config_path}")
        return ConfigResult(
            provider=self.provider,
            path=self.full_path(),
            config=OmegaConf.create(content),
            header={"package": package},
        )

    def is_group(self, config_path: str) -> bool:
        """Whether there can be configs below the path."""
        return config_path in ("", "env", *SYNTHESISED, *ROWS)

    def is_config(self, config_path: str) -> bool:
        """Whether the path names a config."""
        name = config_path.removesuffix(".yaml")
        group, _, choice = name.partition("/")
        synthesised = (*SYNTHESISED.get(group, ()), *ROWS.get(group, ()))
        return name == "schema" or (group == "env" and choice != "") or choice in synthesised

    def available(self) -> bool:
        """Always."""
        return True

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """Choices that can be listed; ids are too many."""
        return [] if results_filter == ObjectType.GROUP else [*SYNTHESISED.get(config_path, ())]


@dataclass(frozen=True)
class Layers:
    """What the files chosen by the groups compose to, before single values are set."""

    config: DictConfig
    labels: Mapping[str, str]
    """The source of each key's value: 'default', 'algo/ppo', 'tuned/...', 'experiment/...'."""
    chosen: Mapping[str, str]
    """The choice of each group."""
    _resolved: dict[tuple[str, ...], dict[str, Any] | None] = field(default_factory=dict, compare=False)
    """Plain data by the overrides that OmegaConf set; None where values refer to others."""

    def with_values(self, values: Sequence[tuple[str, Element]]) -> dict[str, Any]:
        """The nested, resolved plain data after setting single values by key.

        Values of keys that nothing else can depend on are set in the plain data, which jobs of a sweep share;
        OmegaConf sets the others. Both give the same, in a tenth of the time.

        Raises:
            UserError: an interpolation does not resolve.
        """
        direct = [(key, value) for key, value in values if _stands_alone(key, value)]
        others = [(key, value) for key, value in values if not _stands_alone(key, value)]
        typed = tuple(f"{key}={value.text}" for key, value in others)
        if typed not in self._resolved:
            self._resolved[typed] = self._by_omegaconf(others) if self._is_plain(typed) else None
        resolved = self._resolved[typed]
        if resolved is None:
            return self._by_omegaconf(values)
        plain = _nodes_copied(resolved)
        for key, value in direct:
            *sections, leaf = key.split(".")
            node = plain
            for section in sections:
                node = node[section]
            node[leaf] = value.data
        return plain

    def _is_plain(self, typed: Sequence[str]) -> bool:
        """Whether no value refers to another, or has a meaning of its own to OmegaConf."""
        return not any(
            "${" in text or "???" in text for text in (*typed, str(OmegaConf.to_container(self.config)))
        )

    def _by_omegaconf(self, values: Sequence[tuple[str, Element]]) -> dict[str, Any]:
        config = copy.deepcopy(self.config)
        try:
            for key, value in values:  # as Hydra sets them
                OmegaConf.update(config, key, value.data, merge=True, force_add=_names_are_free(key))
            if written_out(OmegaConf.to_container(config, resolve=False)) > LARGEST:
                raise UserError(
                    "Cannot compose the configuration: its references have no end, or are too long."
                )
            plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
        except OmegaConfBaseException as error:
            raise UserError(f"Cannot compose the configuration: {reason(error)}") from None
        if not isinstance(plain, dict):
            raise UserError("The composed configuration is not a mapping.")
        return {str(name): value for name, value in plain.items()}


def _names_are_free(key: str) -> bool:
    """Whether a key is a mapping with names of its own, or one of those."""
    return f"{key}.".startswith(("env.kwargs.", "alerts.more.", "collect.resources."))


def _stands_alone(key: str, value: Element) -> bool:
    """Whether a value replaces that of one key, and nothing else."""
    return key in KEYS and not KEYS[key].is_mapping and "${" not in value.text and "???" not in value.text


def _nodes_copied(nested: dict[str, Any]) -> dict[str, Any]:
    """The data with mappings of its own, which may be set."""
    return {name: _nodes_copied(v) if isinstance(v, dict) else v for name, v in nested.items()}


def layers(groups: tuple[str, ...], config_dir: str | None) -> Layers:
    """Compose the files of the given group choices (`algo=ppo`).

    Raises:
        UserError: a file is missing or malformed.
    """
    loader = _Loader(config_dir)
    try:
        composed, chosen = loader.compose(groups)
    except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        raise UserError(f"Cannot compose the configuration: {reason(error)}") from None
    faults = [fault for label, content in loader.contents for fault in _not_text(label, content)]
    if faults:
        raise UserError(*faults)
    labels = {name: label for label, content in loader.contents for name, _ in _leaves(content, "")}
    return Layers(composed, labels, chosen)


@cache
def prepare() -> None:
    """Make our config sources known to Hydra."""
    version.setbase("1.3")
    Plugins.instance().register(SynthesisedConfigs)
    Plugins.instance().register(PlainConfigs)
    setup_globals()
    JobRuntime.instance().set("name", "rlcli")


class _Loader(ConfigLoaderImpl):
    """Hydra's loader without Hydra's own settings; it keeps what each file contains while it merges them."""

    def __init__(self, config_dir: str | None) -> None:
        prepare()
        super().__init__(search_path(config_dir))
        self.contents: list[tuple[str, Any]] = []
        """The content of each file, with its label; the later wins."""

    def compose(self, groups: Sequence[str]) -> tuple[DictConfig, dict[str, Any]]:
        """The files of these group choices as one config, and the choice of every group."""
        self.ensure_main_config_source_available()
        overrides, repo = self._parse_overrides_and_create_caching_repo(PRIMARY, list(groups))
        self.validate_sweep_overrides_legal(overrides=overrides, run_mode=RunMode.RUN, from_shell=True)
        found = create_defaults_list(
            repo=repo, config_name=PRIMARY, overrides_list=overrides, prepend_hydra=False, skip_missing=False
        )
        composed = self._compose_config_from_defaults_list(found.defaults, repo)
        OmegaConf.set_struct(composed, True)
        self._apply_overrides_to_config(found.config_overrides, composed)
        return composed, dict(found.overrides.known_choices)

    def _load_single_config(self, default: Any, repo: Any) -> Any:
        loaded = super()._load_single_config(default, repo)
        path = default.config_path
        if path is not None:
            label = "default" if path in ("schema", PRIMARY) else path
            self.contents.append((label, OmegaConf.to_container(loaded.config, resolve=False)))
        return loaded


def search_path(config_dir: str | None) -> ConfigSearchPathImpl:
    """Where Hydra looks for configs: its own, the user's folder, ours, those without a file."""
    path = ConfigSearchPathImpl()
    path.append("hydra", "pkg://hydra.conf")
    for root in roots(config_dir):
        path.append("main", f"{SCHEME}://{root}")
    path.append("rlcli", "rlcli://")
    path.append("schema", "structured://")  # Hydra wants it last
    return path


def _leaves(content: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        dotted = f"{prefix}{name}"
        if dotted not in KEYS and isinstance(value, dict):
            yield from _leaves(value, f"{dotted}.")
        else:
            yield dotted, value


def _not_text(label: str, content: Any) -> Iterator[str]:
    """Values that YAML read as a number or a switch where a key takes text: their spelling is lost."""
    for name, value in _leaves(content, ""):
        items = value if isinstance(value, list) else [value]
        wrong = [item for item in items if isinstance(item, (bool, int, float))]
        if wrong and name in KEYS and KEYS[name].takes_text:
            yield (
                f"{name} in {label}: the key takes text, and YAML reads {display(wrong[0])} there, which may "
                f"not be what is written: put it in quotes."
            )


def _nested_defaults() -> dict[str, Any]:
    root: dict[str, Any] = {}
    for name, key in KEYS.items():
        if name == "tuned":  # a group here; the applied choice is recorded after composing
            continue
        *sections, leaf = name.split(".")
        node = root
        for section in sections:
            node = node.setdefault(section, {})
        node[leaf] = list(key.default) if key.is_list else key.default
    return root
