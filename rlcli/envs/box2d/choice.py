"""Choice of Box2D's environments that rlcli steps itself: those that Gymnasium makes as it ships them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rlcli.envs.shipped import Shipped, difference
from rlcli.text import shown

_MODULE = "gymnasium.envs.box2d"

BOX2D_ENVS = {
    "LunarLander-v3": Shipped(_MODULE, "lunar_lander:LunarLander", 1000, 200.0),
    "LunarLanderContinuous-v3": Shipped(
        _MODULE, "lunar_lander:LunarLander", 1000, 200.0, {"continuous": True}
    ),
}
"""Environments that are stepped in `envs/box2d/lander.py`, by id."""


def obstacle(env_id: str, kwargs: Mapping[str, Any]) -> str | None:
    """Why rlcli does not step this environment itself; None: it does."""
    changed = difference(env_id, BOX2D_ENVS[env_id])
    if changed is not None:
        return changed
    unknown = {name: value for name, value in kwargs.items() if not _is_known(name, value)}
    return f"rlcli's version does not take env.kwargs {shown(unknown)}" if unknown else None


def _is_known(name: str, value: Any) -> bool:
    if name == "continuous":
        return isinstance(value, bool)
    if name == "max_episode_steps":
        return isinstance(value, int) and not isinstance(value, bool)
    return name == "gravity" and isinstance(value, int | float) and not isinstance(value, bool)
