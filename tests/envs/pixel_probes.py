"""Environments of images whose best values are known: the brighter half tells the action."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces

from tests.envs.probe import Probe


class Brighter(Probe):
    """One step: action 1 where the right half of an image is brighter than the left, else 0, pays 1, any
    other costs 1. V = 1 for the best. Mean brightness tells nothing.

    `layout` is hwc, chw, or dict: the image in a Dict, with a number that adds to the reward and so to V.
    """

    SIZE: ClassVar[int] = 36

    def __init__(self, layout: str = "hwc", size: int = SIZE, channels: int = 1) -> None:
        super().__init__()
        self.layout = layout
        self.shape = (channels, size, size) if layout == "chw" else (size, size, channels)
        image = spaces.Box(0, 255, self.shape, np.uint8)
        number = spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.observation_space = spaces.Dict({"image": image, "bonus": number}) if layout == "dict" else image

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.right, bonus = (bool(bit) for bit in self.np_random.integers(2, size=2))
        self.bonus = (1.0 if bonus else -1.0) * (self.layout == "dict")
        image = self.np_random.integers(0, 100, self.shape).astype(np.uint8)
        columns = image if self.layout != "chw" else image.transpose(1, 2, 0)
        half = columns.shape[1] // 2
        columns[:, half:] += np.uint8(100 * self.right)
        columns[:, :half] += np.uint8(100 * (not self.right))
        self.seen = image
        if self.layout == "dict":
            self.seen = {"image": image, "bonus": np.array([self.bonus], np.float32)}
        return self.seen, {}

    def step(self, action: Any) -> Any:
        return self.seen, self.bonus + (1.0 if action == self.right else -1.0), True, False, {}
