"""Hydra's own settings, `hydra.*` and `hydra/*`, composed by Hydra: to show them and to check them.

Hydra neither sweeps nor launches here: rlcli/sweeps does, and asks the command line which launcher was
chosen. So that Hydra composes `hydra/launcher=NAME hydra.launcher.*` too, each launcher's settings are stored
with Hydra as a node of that group.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from hydra._internal.hydra import Hydra
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from rlcli.config.hydra_bridge import PRIMARY, prepare, search_path
from rlcli.config.hydra_grammar import reason
from rlcli.config.launchers import CHOICE, DEFAULT, LAUNCHERS
from rlcli.errors import UserError

OF_HYDRA = ("basic",)
"""Launchers for which Hydra has a node of its own."""


def settings_yaml(words: Sequence[str], config_dir: str | None) -> str:
    """Hydra's own settings under the given overrides, as YAML; see `_settings`."""
    return str(OmegaConf.to_yaml(_settings(words, config_dir)))


def settings(words: Sequence[str], config_dir: str | None) -> Any:
    """Hydra's own settings under the given overrides, as plain data; interpolations as text."""
    return OmegaConf.to_container(_settings(words, config_dir), resolve=False)["hydra"]  # type: ignore[call-overload,index]


def _settings(words: Sequence[str], config_dir: str | None) -> Any:
    """Node of Hydra's own settings, below the key `hydra`.

    Raises:
        UserError: Hydra does not take one of the overrides.
    """
    chosen = any(word.startswith(f"{CHOICE}=") for word in words)
    with _hydra(config_dir) as hydra:
        try:
            composed = hydra.compose_config(
                config_name=PRIMARY,
                overrides=[*words, *([] if chosen else [f"{CHOICE}={DEFAULT}"])],
                run_mode=RunMode.MULTIRUN,
                with_log_configuration=False,
            )
        except (HydraException, OmegaConfBaseException) as error:
            raise UserError(f"Cannot compose the configuration: {reason(error)}") from None
        return hydra.get_sanitized_cfg(composed, "hydra")


@contextmanager
def _hydra(config_dir: str | None) -> Iterator[Any]:
    """Hydra's process-wide object for the length of a `with`, put back as it was afterwards."""
    before = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    prepare()
    _store_launchers()
    try:
        yield Hydra.create_main_hydra2(task_name="rlcli", config_search_path=search_path(config_dir))
    finally:
        GlobalHydra.instance().hydra = before


@cache
def _store_launchers() -> None:
    for name, declared in LAUNCHERS.items():
        if name in OF_HYDRA:
            continue
        settings = {
            key.name: list(key.default) if key.is_list else key.default for key in declared.keys.values()
        }
        node = OmegaConf.create({"name": name, **settings})
        ConfigStore.instance().store(group="hydra/launcher", name=name, node=node, provider="rlcli")
