"""Wrappers around environments (`env.wrappers`): rlcli's own, Gymnasium's by name, and the user's."""

from __future__ import annotations

import copy
import importlib
import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gymnasium
from gymnasium import wrappers as gymnasiums
from gymnasium.error import DependencyNotInstalled

from rlcli.config.values import display
from rlcli.config.wrappers import Wrapper, parts
from rlcli.envs.checked import beneath, checked_below
from rlcli.envs.construct import import_for
from rlcli.envs.spaces import boundary
from rlcli.envs.untrusted import close, contained, explained, surroundings_kept
from rlcli.envs.user_code import place_of_definition, prefixed
from rlcli.envs.velocities import HideVelocities
from rlcli.errors import UserError, nearest, unknown
from rlcli.text import brief, visible

Env = gymnasium.Env[Any, Any]

OWN: Mapping[str, Callable[..., Env]] = {"hide_velocities": HideVelocities}
"""rlcli's wrappers, by name."""
PREFIX = "gymnasium.wrappers."
REFUSED = {
    "RecordVideo": "it writes files while environments are stepped",
    "HumanRendering": "it opens a window per environment",
    "Autoreset": "rlcli starts episodes itself, and needs to see where one ends",
}
"""Wrappers of Gymnasium that are of no use here, and why."""
INSTEAD = {
    "NormalizeObservation": "env.normalize_observation=true",
    "NormalizeReward": "env.normalize_reward=true",
}
"""Wrappers that keep statistics -> the key that does the same, with statistics that checkpoints have."""


def known() -> list[str]:
    """The wrappers of Gymnasium that take one environment, in its order; some are refused."""
    return [name for name in gymnasiums.__all__ if name != "vector"]


def make_wrapped(env_id: str, create: Callable[[], Env], wrappers: Sequence[Wrapper]) -> Env:
    """One environment of `create` inside its wrappers; all that can be wrong with these is a `UserError`."""
    found = [(wrapper, _checked(env_id, *parts(wrapper))) for wrapper in wrappers]
    env = create()
    try:
        for wrapper, maker in found:
            env = checked_below(_applied(env_id, env, wrapper, maker))
    except BaseException:
        close(env_id, env)
        raise
    return env


def culprit(env_id: str, env: Env, wrappers: Sequence[Wrapper]) -> str | None:
    """The wrapper after which the spaces are not supported any more; None if they never were, or are."""
    layers = [env]
    for _ in wrappers:
        layers.append(beneath(layers[-1]))
    supported = [_is_supported(env_id, layer) for layer in reversed(layers)]
    if supported[-1] or True not in supported:
        return None
    last = len(supported) - 1 - supported[::-1].index(True)
    return display(wrappers[last])


def statistics_advice(wrappers: Sequence[Wrapper]) -> str:
    """What to use instead of wrappers that keep statistics, as the end of a sentence."""
    names = [parts(wrapper)[0].removeprefix(PREFIX) for wrapper in wrappers]
    instead = [INSTEAD[name] for name in names if name in INSTEAD]
    return f"; {' and '.join(instead)} does the same and resumes exactly" if instead else ""


def _is_supported(env_id: str, env: Env) -> bool:
    try:
        boundary(env_id, env.observation_space, env.action_space)
    except UserError:
        return False
    except BaseException as error:
        contained(error, env_id)
        return False
    return True


def _checked(env_id: str, name: str, arguments: Mapping[str, Any]) -> Callable[..., Any]:
    """The wrapper of that name, which takes these arguments."""
    found = _of_user(env_id, name) if ":" in name else _by_name(env_id, name)
    _check_arguments(env_id, name, found, arguments)
    return found


def _by_name(env_id: str, name: str) -> Callable[..., Any]:
    bare = name.removeprefix(PREFIX)
    if name in OWN:
        return OWN[name]
    if bare not in known():
        if bare.removeprefix("vector.") in gymnasiums.vector.__all__:
            raise UserError(
                f"{env_id}: env.wrappers={name} is for vectors of environments; rlcli steps them singly.",
                hint="Those for one environment: rlcli list wrappers.",
            )
        raise UserError(
            unknown("wrapper", name, [*OWN, *known()]),
            hint="One of your own: env.wrappers=[module:Class]. All: rlcli list wrappers.",
        )
    if bare in REFUSED:
        raise UserError(f"{env_id}: env.wrappers={name} is refused: {REFUSED[bare]}.")
    try:
        found: Callable[..., Any] = getattr(gymnasiums, bare)
    except ImportError as error:
        raise _missing_package(env_id, name, error) from error
    return found


def _of_user(env_id: str, name: str) -> Callable[..., Any]:
    module, _, attribute = name.rpartition(":")
    if not module or not attribute:
        raise UserError(f"{env_id}: env.wrappers={name}: one of your own is named module:Class.")
    import_for(f"env.wrappers={name}", module)
    loaded = importlib.import_module(module)
    found = getattr(loaded, attribute, None)
    if found is None:
        near = nearest(attribute, [one for one in vars(loaded) if not one.startswith("_")], count=1)
        guess = f" Did you mean '{module}:{near[0]}'?" if near else ""
        raise UserError(f"{env_id}: env.wrappers={name}: {module} has no {attribute!r}.{guess}")
    if not callable(found):
        raise UserError(
            f"{env_id}: env.wrappers={name}: expected a class or function that takes an environment, "
            f"not {visible(repr(found))}."
        )
    wrapper: Callable[..., Any] = found
    return wrapper


def _check_arguments(env_id: str, name: str, found: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    """Raises one `UserError` for all arguments that are missing, or that it does not take."""
    try:
        declared = list(inspect.signature(found).parameters.values())[1:]
    except (TypeError, ValueError):
        return
    free = any(one.kind is one.VAR_KEYWORD for one in declared)
    named = [one for one in declared if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
    accepted = [one.name for one in named]
    faults = [
        unknown(f"argument of env.wrappers={name}:", given, accepted or ["(none)"])
        for given in arguments
        if given not in accepted and not free
    ]
    missing = [one for one in named if one.default is one.empty and one.name not in arguments]
    if missing:
        example = ", ".join(f"{one.name}: ..." for one in missing)
        faults.append(
            f"{env_id}: env.wrappers={name} needs {', '.join(one.name for one in missing)}: "
            f"'env.wrappers=[{{{name}: {{{example}}}}}]'."
        )
    if faults:
        functions = [one.name for one in missing if "Callable" in str(one.annotation)]
        named_so = ", ".join(functions)
        hint = f"A setting cannot be a function: write {named_so} in a wrapper of your own, module:Class."
        raise UserError(*faults, hint=hint if functions else None)


def _applied(env_id: str, env: Env, wrapper: Wrapper, maker: Callable[..., Any]) -> Env:
    shown = display(wrapper)
    arguments = copy.deepcopy(dict(parts(wrapper)[1]))
    wrapped: Any
    with warnings.catch_warnings(), surroundings_kept():
        warnings.simplefilter("ignore")
        try:
            wrapped = maker(env, **arguments)
        except UserError as error:
            raise UserError(
                *(f"env.wrappers={shown} {fault}" for fault in error.faults), hint=error.hint
            ) from error
        except (ImportError, DependencyNotInstalled) as error:
            raise _missing_package(env_id, shown, error) from error
        except BaseException as error:
            raise UserError(
                f"Environment {env_id} cannot be wrapped in env.wrappers={shown}: {explained(error)}"
            ) from error
    if not isinstance(wrapped, gymnasium.Env):
        place = place_of_definition(maker)
        text = f"env.wrappers={shown} gave {type(wrapped).__name__}, not an environment of Gymnasium."
        raise UserError(prefixed(place, f"{env_id}: {text}"))
    made: Env = wrapped
    return made


def _missing_package(env_id: str, shown: str, error: Exception) -> UserError:
    return UserError(f"{env_id}: env.wrappers={shown} needs a package: {brief(error)}")
