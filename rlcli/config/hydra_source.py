"""Folders of config files as Hydra reads them: bounded plain data, and nothing that Hydra would act on.

Hydra makes objects of `_target_` nodes below `hydra`, takes its launchers, callbacks and logging from there,
and has functions (resolvers) that read environment variables. A folder given with --config-dir may be
anybody's. So files are parsed here, and refused by name are: the node `hydra` and its groups, keys such as
`_target_`, resolvers, configs with the names of rlcli's own (`train`, `schema`), and whatever `plain_yaml`
refuses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigLoadError, ConfigResult, ConfigSource
from omegaconf import OmegaConf

from rlcli.config.command import MAGIC
from rlcli.config.groups import conf_root
from rlcli.config.plain_yaml import read_yaml
from rlcli.errors import StorageError, UserError

SCHEME = "plain"
OURS = ("train", "schema")
"""Configs that are rlcli's alone: what a run is composed of, and the defaults of all keys."""
RESOLVER = re.compile(r"\$\{\s*([\w.]+)\s*:")
NESTED = re.compile(r"\$\{[^}]*\$\{")
MOST_INCLUDED = 300
"""Maximum number of configs that one config may load by its defaults lists."""
WORD = re.compile(r"[\s/@.:]+")


class PlainConfigs(ConfigSource):
    """One folder of config files, ours or the user's."""

    def __init__(self, provider: str, path: str) -> None:
        super().__init__(provider=provider, path=path)
        self._root = Path(self.path)
        self._trusted = self._root == conf_root()

    @staticmethod
    def scheme() -> str:
        """Paths of this source start with `plain://`."""
        return SCHEME

    def load_config(self, config_path: str) -> ConfigResult:
        """The config of that path.

        Raises:
            UserError: it is out of bounds, or holds what Hydra would act on.
        """
        path = self._file(config_path)
        if path is None:
            raise ConfigLoadError(f"no config {config_path}")
        content, header = _parsed(path)
        if not self._trusted:
            name = config_path.removesuffix(".yaml").strip("/")
            if name in OURS:
                raise UserError(
                    f"{path}: {name} is rlcli's own config and cannot be replaced; put what you set into a "
                    "group, such as experiment/mine.yaml."
                )
            for fault in _faults(name, content, header):
                raise UserError(f"{path}: {fault}.")
            self._included(name, {}, ())
        return ConfigResult(
            config=OmegaConf.create(content), path=self.full_path(), provider=self.provider, header=header
        )

    def is_group(self, config_path: str) -> bool:
        """Whether the path names a folder."""
        folder = self._root / config_path.strip("/")
        return ".." not in folder.parts and folder.is_dir()

    def is_config(self, config_path: str) -> bool:
        """Whether the path names a config file."""
        return self._file(config_path) is not None

    def available(self) -> bool:
        """Whether the folder is there."""
        return self._root.is_dir()

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """Names of the groups and configs in a folder."""
        found: list[str] = []
        for path in (self._root / config_path.strip("/")).iterdir():
            place = str(PurePosixPath(config_path) / path.name)
            self._list_add_result(found, place, path.name, results_filter)
        return sorted(set(found))

    def _file(self, config_path: str) -> Path | None:
        """The file of a config in the folder; None where there is none."""
        path = self._root / self._normalize_file_name(config_path.strip("/"))
        try:
            return path if ".." not in path.parts and path.is_file() else None
        except (OSError, ValueError):
            return None

    def _included(self, name: str, known: dict[str, int], within: tuple[str, ...]) -> int:
        """How many configs one loads, itself included.

        Raises:
            UserError: more than `MOST_INCLUDED`, or it includes itself.
        """
        if name in known:
            return known[name]
        path = self._file(name)
        if path is None:
            return 1
        if name in within:
            raise UserError(f"{path}: its defaults list includes itself, by way of {' and '.join(within)}.")
        count = 1
        for other in _names(name, _defaults(_parsed(path)[0])):
            count += self._included(other, known, (*within, name))
            if count > MOST_INCLUDED or len(within) > MOST_INCLUDED:
                raise UserError(f"{path}: its defaults lists include more than {MOST_INCLUDED} configs.")
        known[name] = count
        return count


def _parsed(path: Path) -> tuple[dict[str, Any], dict[str, str | None]]:
    """Content and header of a file; raises `UserError` where it is no mapping of plain data."""
    try:
        text, content = read_yaml(path)
    except StorageError as error:
        raise UserError(str(error)) from None
    content = {} if content is None else content
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise UserError(f"{path}: a configuration is a mapping of keys, this is not.")
    try:
        return content, ConfigSource._get_header_dict(text[:512])
    except ValueError as error:
        raise UserError(f"{path}: {error}.") from None


def _faults(name: str, content: Mapping[str, Any], header: Mapping[str, str | None]) -> Iterator[str]:
    """The refused parts of a config file, each as a sentence without its end."""
    package = header.get("package") or ""
    if "hydra" in WORD.split(name)[:1] or "hydra" in package.split("."):
        yield "settings of Hydra's own are given on the command line, not in files"
    if "hydra" in content:
        yield "the node 'hydra' is not taken from files; hydra/launcher=... is given on the command line"
    yield from _wrong_defaults(content.get("defaults"))
    yield from _wrong_inside({key: value for key, value in content.items() if key != "defaults"})


def _wrong_defaults(entries: Any) -> Iterator[str]:
    """What is wrong with a defaults list."""
    if entries is not None and not isinstance(entries, list):
        yield "'defaults' is a list of configs"
        return
    for entry in entries or ():
        [(key, value)] = entry.items() if isinstance(entry, dict) and len(entry) == 1 else [(entry, None)]
        values = value if isinstance(value, list) else [value]
        if not isinstance(key, str) or not all(one is None or isinstance(one, str) for one in values):
            yield f"{str(entry)[:60]!r} in 'defaults' is neither a config nor 'group: config'"
        elif "hydra" in WORD.split(f"{key} {' '.join(filter(None, values))}"):
            yield f"{key[:60]!r} in 'defaults': settings of Hydra's own are given on the command line"


def _wrong_inside(value: Any) -> Iterator[str]:
    """Keys and values within a config that Hydra or OmegaConf would act on."""
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(key, str) and MAGIC.fullmatch(key):
                yield f"the key {key!r} is refused: nothing is made from a config"
            yield from _wrong_inside(item)
    elif isinstance(value, list):
        for item in value:
            yield from _wrong_inside(item)
    elif isinstance(value, str) and "${" in value:
        found = RESOLVER.search(value)
        if found is not None:
            yield f"the resolver {found[1]!r} is refused; a file may refer to other keys only: ${{algo.name}}"
        elif NESTED.search(value):
            yield f"{value[:60]!r}: a reference within a reference is refused"


def _defaults(content: Mapping[str, Any]) -> list[Any]:
    entries = content.get("defaults")
    return entries if isinstance(entries, list) else []


def _names(name: str, entries: list[Any]) -> Iterator[str]:
    """The configs that a defaults list names, relative to its own config."""
    group = name.rpartition("/")[0]
    for entry in entries:
        pairs = entry.items() if isinstance(entry, dict) else [(entry, None)]
        for key, value in pairs:
            if not isinstance(key, str):
                continue
            place = key.rpartition(" ")[2].partition("@")[0]
            root = "" if place.startswith("/") or not group else f"{group}/"
            for one in value if isinstance(value, list) else [value]:
                yield f"{root}{place.strip('/')}" + (f"/{one}" if one is not None else "")
