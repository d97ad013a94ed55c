"""An environment that draws itself, also wrongly."""

from __future__ import annotations

import itertools
from typing import Any, ClassVar

import numpy as np

from tests.envs.probe import NOTHING, Probe

_count = itertools.count()


class Drawn(Probe):
    """Episodes of 3 to 6 steps that pay 1 each; a grey picture of 7 x 9 pixels, lighter with each step.

    `fault`: raise (while it is drawn), shape (no colours), or unrepeatable (each step pays another amount).
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["human", "rgb_array"], "render_fps": 10}

    def __init__(self, fault: str = "none", render_mode: str | None = None) -> None:
        super().__init__()
        self.fault, self.render_mode = fault, render_mode

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.length = int(self.np_random.integers(3, 7))
        return NOTHING.copy(), {}

    def step(self, action: Any) -> Any:
        self.elapsed += 1
        reward = float(next(_count)) if self.fault == "unrepeatable" else 1.0
        return NOTHING.copy(), reward, self.elapsed == self.length, False, {}

    def render(self) -> Any:
        assert self.render_mode == "rgb_array"
        if self.fault == "raise":
            raise RuntimeError("no pencil")
        shape = (7, 9) if self.fault == "shape" else (7, 9, 3)
        return np.full(shape, 30 * self.elapsed, np.uint8)
