"""Import of the user's modules: those of --import and RLCLI_IMPORT, of installed plug-ins, and of a config.

A module is imported only because the user names it, or has installed a package with an entry point in the
group `rlcli_plugins`. A run directory alone imports nothing: `store/admission.py` lets its modules pass.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec

from rlcli.config import extensions
from rlcli.config.extensions import ADDITIONS, GROUP, VARIABLE, Addition, is_chosen, owner
from rlcli.config.schema.keys import KEYS
from rlcli.config.schema.run import RunConfig
from rlcli.config.serialise import build, flatten
from rlcli.config.values import RejectedValue, convert, display
from rlcli.envs.construct import import_for
from rlcli.errors import UserError

_importing: list[str] = []


def current() -> str | None:
    """The module that the user named and that is being imported now."""
    return _importing[0] if _importing else None


def start(imports: Iterable[str] = ()) -> None:
    """Imports what a command of the user's may use: installed plug-ins, RLCLI_IMPORT, and `imports`.

    Raises:
        UserError: a module is not there or raises, or registers what it must not.
    """
    installed()
    for module in os.environ.get(VARIABLE, "").split(","):
        if module.strip():
            load(module.strip(), f"{VARIABLE}={module.strip()}")
    for module in imports:
        load(module, f"--import {module}")


def load(module: str, asked: str) -> None:
    """Imports a module because of `asked`, which begins the message if that fails."""
    with _named(module):
        known = dict(gymnasium.registry)
        import_for(asked, module)
        _check_replaced(asked, module, known)
        for name in gymnasium.registry:
            if name not in known:
                place = str(getattr(sys.modules.get(module), "__file__", None) or module)
                own = Addition("environment", name, module, place)
                ADDITIONS.setdefault(("environment", name), own)


def _check_replaced(asked: str, module: str, known: Mapping[str, EnvSpec]) -> None:
    """Raises `UserError` where a module took ids of other environments, which get them back."""
    taken = [name for name, spec in known.items() if gymnasium.registry.get(name) != spec]
    gymnasium.registry.update({name: known[name] for name in taken})
    if taken:
        raise UserError(
            *(
                f"{asked}: {module} registers the environment {name!r}, which there is already."
                for name in taken
            ),
            hint="Choose another id, such as My-v0.",
        )


def complete(config: RunConfig) -> RunConfig:
    """A config read from a file, its modules imported and its values checked against what they declare.

    A key that a module did not declare yet when the file was written has its default.

    Raises:
        UserError: a module cannot be imported, does not register what the config names, or does not admit a
            value of it any more.
    """
    if not config.imports:
        return config
    installed()
    for module in config.imports:
        load(module, f"The run imports {module}")
    flat = flatten(config)
    lost = [*extensions.missing(flat), *(name for name in flat if name not in KEYS)]
    if lost:
        raise UserError(
            f"{', '.join(config.imports)} registers no {', '.join(lost)}; it did when the run was made."
        )
    declared = {name: key.default for name, key in KEYS.items() if owner(name) and is_chosen(name, flat)}
    converted: dict[str, Any] = {}
    faults: list[str] = []
    for name, value in (declared | flat).items():
        try:
            converted[name] = convert(KEYS[name], value)
        except RejectedValue as error:
            faults.append(
                f"{', '.join(config.imports)} does not take {name}={display(value)} any more, with which the "
                f"run was made: {error}."
            )
    if faults:
        raise UserError(*faults)
    return build(converted)


def forget_compositions() -> None:
    """Composed configs are made anew, with what is registered now."""
    compose = sys.modules.get("rlcli.config.compose")
    if compose is not None:
        compose.with_tuned.cache_clear()


@cache
def installed() -> None:
    """Imports the modules of installed plug-ins, once per process."""
    for entry in importlib.metadata.entry_points(group=GROUP):
        package = entry.dist.name if entry.dist is not None else "?"
        try:
            load(entry.module, f"plug-in {entry.name!r} of the installed package {package}")
        except UserError as error:
            raise UserError(
                *error.faults,
                hint=f"Correct it, or remove it: pip uninstall {package}",
            ) from error


@contextmanager
def _named(module: str) -> Iterator[None]:
    _importing.append(module)
    try:
        yield
    finally:
        _importing.pop()
