"""Construction of a registered environment, with a readable message for each way it can fail."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import importlib.util
import inspect
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec as Registration
from gymnasium.envs.registration import load_env_creator
from gymnasium.error import DependencyNotInstalled

from rlcli.envs.checked import checked_below
from rlcli.envs.mujoco_warnings import take_warnings, warnings_ignored
from rlcli.envs.untrusted import explained, surroundings_kept
from rlcli.errors import UserError, nearest, unknown
from rlcli.extras import OF_REQUIREMENT, install_command
from rlcli.text import brief, shown

PACKAGES = {
    "gymnasium.envs.box2d": ("Box2D", "gymnasium[box2d]"),
    "gymnasium.envs.mujoco": ("mujoco", "gymnasium[mujoco]"),
    "gymnasium.envs.phys2d": ("jax", "gymnasium[jax]"),
    "gymnasium.envs.tabular": ("jax", "gymnasium[jax]"),
    "ale_py": ("ale_py", "ale-py"),
}
"""Module prefix of an environment's code -> the module it needs, the package to install."""

NAMESPACES = {"ALE": ("ale_py", "ale-py")}
"""Namespace of ids -> the module that registers them when imported, the package to install."""

MAKE_ARGUMENTS = ("max_episode_steps", "disable_env_checker")
"""Arguments of `gymnasium.make` beside the constructor's own."""


def known_ids() -> list[str]:
    """Every registered id that can be made here or after installing its package, in Gymnasium's order."""
    for module, _ in NAMESPACES.values():
        if importlib.util.find_spec(module) is not None:
            _import(module)
    # Ids kept by Gymnasium only to say that they are gone have an entry point in its own `__init__`.
    gone = "gymnasium.envs"
    return [name for name, found in gymnasium.registry.items() if module_of(found) != gone]


def registration(env_id: str) -> Registration:
    """The registered environment of this id, `module:Id` after importing its module; else `UserError`."""
    module, separator, name = env_id.rpartition(":")
    if separator:
        import_for(env_id, module)
    namespace = name.partition("/")[0]
    if name not in gymnasium.registry and namespace in NAMESPACES:
        needed, package = NAMESPACES[namespace]
        if importlib.util.find_spec(needed) is None:
            raise _missing(env_id, needed, package)
        _import(needed)
    found = gymnasium.registry.get(name)
    if found is None:
        raise UserError(
            _unknown_id(name, module),
            hint="List them with: rlcli list envs. One of your own: env=module:Id imports the module first.",
        )
    missing = missing_package(found)
    if missing is not None:
        raise _missing(env_id, *missing)
    return found


def known_registration(env_id: str) -> Registration | None:
    """As `registration`; None where that raises."""
    try:
        return registration(env_id)
    except UserError:
        return None


def _unknown_id(name: str, module: str) -> str:
    """Message that no environment has this id; ids that the module brought are given with it, as to write."""

    def written(known: str) -> str:
        foreign = not module_of(gymnasium.registry[known]).startswith("gymnasium.")
        return f"{module}:{known}" if module and foreign else known

    return unknown("environment", name, known_ids(), written=written)


def missing_package(found: Registration) -> tuple[str, str] | None:
    """The module that a registered environment needs and that is not installed, and its package."""
    for prefix, (needed, package) in PACKAGES.items():
        if module_of(found).startswith(prefix) and importlib.util.find_spec(needed) is None:
            return needed, package
    return None


def create(env_id: str, kwargs: Mapping[str, Any]) -> gymnasium.Env[Any, Any]:
    """Makes one environment; wrong arguments, a missing package, a failing constructor are `UserError`s.

    Each instance has a copy of the arguments to itself, so that none changes what another is given.
    """
    found = registration(env_id)
    # Construction is where Gymnasium and its physics engines warn of versions and precision, about code that
    # is not the user's.
    with warnings.catch_warnings(), surroundings_kept(), warnings_ignored():
        warnings.simplefilter("ignore")
        try:
            if isinstance(found.entry_point, str):
                load_env_creator(found.entry_point)  # may import MuJoCo
            take_warnings()
            if module_of(found).startswith("ale_py"):
                _quiet()
            if kwargs:
                _check_arguments(env_id, found, kwargs)
            # The collector never steps before a reset; to check that would cost a twelfth of every step.
            unchecked = dataclasses.replace(found, order_enforce=False)
            given = {"disable_env_checker": True, **copy.deepcopy(dict(kwargs))}
            return checked_below(gymnasium.make(unchecked, **given))
        except UserError:
            raise
        except DependencyNotInstalled as error:
            raise UserError(f"Environment {env_id} needs a package: {brief(error)}") from error
        except ModuleNotFoundError as error:
            raise _missing(env_id, str(error.name), str(error.name)) from error
        except BaseException as error:
            arguments = f" with env.kwargs={shown(dict(kwargs))}" if kwargs else ""
            raise UserError(f"Environment {env_id} cannot be made{arguments}: {explained(error)}") from error


def _quiet() -> None:
    """Switches off the emulator's banner, which it would print to stderr."""
    from ale_py import ALEInterface, LoggerMode

    ALEInterface.setLoggerMode(LoggerMode.Error)


def _check_arguments(env_id: str, found: Registration, kwargs: Mapping[str, Any]) -> None:
    """Raises one `UserError` for all names in `kwargs` that the constructor does not take."""
    entry = found.entry_point
    creator = load_env_creator(entry) if isinstance(entry, str) else entry
    assert creator is not None
    parameters = inspect.signature(creator).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return
    accepted = [parameter.name for parameter in parameters] + list(MAKE_ARGUMENTS)
    wrong = [name for name in kwargs if name not in accepted]
    if wrong:
        raise UserError(*(unknown(f"key of env.kwargs for {env_id}:", name, accepted) for name in wrong))


def import_for(env_id: str, module: str) -> None:
    """Imports a module that a setting names; a failure is a `UserError` that begins with `env_id`."""
    _check_no_path(env_id, module)
    try:
        _import(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise UserError(
                f"{env_id}: importing {module} needs the module {error.name!r}, which is not installed.",
                hint=f"Install it, for example: pip install {error.name}",
            ) from error
        near = nearest(module, sorted(path.stem for path in Path.cwd().glob("*.py")), count=1)
        guess = f" Did you mean {near[0]!r}?" if near else ""
        install = f"Install the package that contains it, for example: pip install {module.partition('.')[0]}"
        raise UserError(
            f"{env_id}: there is no module {module!r} on the Python path or in the current directory.{guess}",
            hint=None if near else install,
        ) from error
    except UserError:
        raise
    except BaseException as error:
        raise UserError(f"{env_id}: importing {module} failed: {explained(error)}") from error


def _check_no_path(env_id: str, module: str) -> None:
    """Raises `UserError` where a file is named in place of a module."""
    path = Path(module)
    if "/" in module or (module.endswith(".py") and path.is_file()):
        folder = "" if path.parent == Path() else f", with PYTHONPATH={path.parent}"
        raise UserError(
            f"{env_id}: {module} is a path, not the name of a module; give that{folder}: {path.stem}."
        )


def _import(module: str) -> None:
    # A script's own directory is not on the path of an installed command: look where the user stands, last.
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    with warnings.catch_warnings(), surroundings_kept():
        warnings.simplefilter("ignore")
        importlib.import_module(module)


def _missing(env_id: str, module: str, package: str) -> UserError:
    extra = f" of the extra {OF_REQUIREMENT[package]}" if package in OF_REQUIREMENT else ""
    return UserError(
        f"Environment {env_id} needs the package {module}{extra}, which is not installed.",
        hint=f"Install it with: {install_command(package)}",
    )


def module_of(found: Registration) -> str:
    """The module that has the code of a registered environment."""
    entry = found.entry_point
    return entry.partition(":")[0] if isinstance(entry, str) else str(getattr(entry, "__module__", ""))
