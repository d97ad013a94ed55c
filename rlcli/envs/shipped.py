"""Whether an environment is the one that Gymnasium ships, so that a version of rlcli's own may stand for it.

The one place that decides: the id's registration is Gymnasium's own and unchanged, nobody replaced a method
of its class, and this version of Gymnasium was compared bit for bit.
"""

from __future__ import annotations

import inspect
import warnings
from typing import Any, NamedTuple

import gymnasium
from gymnasium.envs.registration import EnvSpec as Registration
from gymnasium.envs.registration import load_env_creator

from rlcli.envs.mujoco_warnings import warnings_ignored
from rlcli.envs.untrusted import surroundings_kept

COMPARED = ("1.4.0",)
"""Versions of Gymnasium whose environments were compared bit for bit with rlcli's, oldest first."""


class Shipped(NamedTuple):
    """An environment as Gymnasium registers it."""

    package: str
    """The package of Gymnasium that it and its base classes are in."""
    entry_point: str
    """module:Class within the package."""
    max_episode_steps: int
    reward_threshold: float | None
    kwargs: dict[str, Any] = {}  # noqa: RUF012


def difference(env_id: str, shipped: Shipped) -> str | None:
    """What is otherwise than Gymnasium ships it; None: nothing."""
    if gymnasium.__version__ not in COMPARED:
        compared = f"rlcli's version was compared with Gymnasium {', '.join(COMPARED)}"
        return f"{compared}, and this is {gymnasium.__version__}"
    if gymnasium.registry.get(env_id) != _registration(env_id, shipped):
        return f"{env_id} is registered otherwise than by Gymnasium"
    other = _replaced_method(shipped)
    return None if other is None else f"{other} is not Gymnasium's own"


def _registration(env_id: str, shipped: Shipped) -> Registration:
    return Registration(
        env_id,
        f"{shipped.package}.{shipped.entry_point}",
        max_episode_steps=shipped.max_episode_steps,
        reward_threshold=shipped.reward_threshold,
        kwargs=dict(shipped.kwargs),
    )


def _replaced_method(shipped: Shipped) -> str | None:
    """A method of the environment's class that somebody replaced; None: none, or its package is missing."""
    path = f"{shipped.package}.{shipped.entry_point}"
    # Importing an engine may warn, and where a warning is an error Box2D's import crashes.
    with warnings.catch_warnings(), surroundings_kept(), warnings_ignored():
        warnings.simplefilter("ignore")
        try:
            found: Any = load_env_creator(path)
        except Exception:
            return None  # making the environment says what is missing
    if f"{found.__module__}:{found.__name__}" != path:
        return f"{found.__module__}.{found.__name__}"
    for owner in found.__mro__:
        if not owner.__module__.startswith(f"{shipped.package}."):
            continue
        for name, member in vars(owner).items():
            function = member.fget if isinstance(member, property) else member
            if not inspect.isfunction(function):
                continue
            if function.__module__ != owner.__module__ or hasattr(function, "__wrapped__"):
                return f"{owner.__name__}.{name}"
    return None
