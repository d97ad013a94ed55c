"""What the environments of these tests have in common."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces

NOTHING = np.zeros(1, np.float32)


def box(low: float = -1.0, high: float = 1.0, size: int = 1) -> spaces.Box:
    return spaces.Box(low, high, (size,), np.float32)


class Probe(gymnasium.Env[Any, Any]):
    """An environment of one number in and one choice out."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}

    def __init__(self) -> None:
        self.observation_space: Any = box()
        self.action_space: Any = spaces.Discrete(2)
        self.elapsed = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.elapsed = 0
        return NOTHING.copy(), {}
