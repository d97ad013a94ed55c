"""Reward thresholds that environments are registered with."""

from __future__ import annotations

import gymnasium


def registered_threshold(env_id: str) -> float | None:
    """The mean return at which an environment counts as solved; None where it is registered without one.

    Nothing is imported for an id: of one that names a module, or that no installed package has registered,
    it is None.
    """
    found = gymnasium.registry.get(env_id)
    return None if found is None or found.reward_threshold is None else float(found.reward_threshold)
