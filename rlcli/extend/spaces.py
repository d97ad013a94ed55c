"""The spaces that the factory of a user's network is called with."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from rlcli.envs.spec import ActionSpec, ObservationSpec


def observation_space(observation: ObservationSpec) -> spaces.Box:
    """[O]: observations as the encoder gives them, flat, choices as one-hot vectors."""
    return spaces.Box(-np.inf, np.inf, (observation.width,), np.float32)


def action_space(action: ActionSpec) -> spaces.Space[Any]:
    """As the environment takes actions."""
    if action.kind == "discrete":
        return spaces.Discrete(action.width, start=int(action.start))
    if action.kind == "multidiscrete":
        return spaces.MultiDiscrete(np.array(action.sizes).reshape(action.shape))
    if action.kind == "multibinary":
        return spaces.MultiBinary(action.shape)
    low, high = (np.broadcast_to(np.asarray(end), action.shape) for end in (action.low, action.high))
    return spaces.Box(low, high, action.shape, action.dtype.type)
