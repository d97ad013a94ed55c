"""From Gymnasium's spaces to our specs; spaces nothing here can represent are refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from rlcli.envs.spec import ActionSpec, ObservationSpec
from rlcli.errors import UserError

Space = spaces.Space[Any]


def boundary(env_id: str, observation: Space, action: Space) -> tuple[ObservationSpec, ActionSpec]:
    """Both specs of an environment, or one `UserError` that names every space that is not supported."""
    seen, taken = _observation(observation), _action(action)
    if seen is None or taken is None:
        refused = []
        if seen is None:
            refused.append(_refusal(env_id, "observation", observation, "Box, Discrete"))
        if taken is None:
            refused.append(_refusal(env_id, "action", action, "Box of floats, Discrete"))
        raise UserError(*refused)
    return seen, taken


def _observation(space: Space) -> ObservationSpec | None:
    if isinstance(space, spaces.Discrete):
        return ObservationSpec("discrete", (), np.dtype(np.int64), int(space.n), int(space.start))
    if isinstance(space, spaces.Box):
        pixels = space.dtype == np.uint8
        return ObservationSpec("box", space.shape, np.dtype(np.uint8 if pixels else np.float32))
    return None


def _action(space: Space) -> ActionSpec | None:
    if isinstance(space, spaces.Discrete):
        return ActionSpec("discrete", (), np.dtype(np.int64), int(space.n), int(space.start))
    if isinstance(space, spaces.Box) and space.dtype.kind == "f":
        return ActionSpec("box", space.shape, space.dtype, low=space.low, high=space.high)
    return None


def _refusal(env_id: str, role: str, space: Space, supported: str) -> str:
    return f"{env_id}: its {role} space {space} is not supported. Supported {role} spaces: {supported}."
