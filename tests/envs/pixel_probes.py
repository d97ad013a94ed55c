"""Environments of images whose best actions are known: the brighter half tells the action."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces

from tests.envs.probe import Probe, box


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


class Flash(Probe):
    """`steps` steps; the first image alone tells by its brighter half the action that the last step pays.

    The others are dark. Reward of the last step 1 - |a - wanted|, 0 before; V = 1 for the best. Actions:
    left, right, and a trap that is never allowed; right is allowed on the last step alone. `given`: nowhere
    (then there is no trap), info, or observation: a Dict with the image, the step and the mask. `real`:
    numbers from -1 to 1 instead.
    """

    def __init__(self, steps: int = 3, size: int = 4, given: str = "nowhere", real: bool = False) -> None:
        super().__init__()
        self.steps, self.size, self.given = steps, size, given
        self.action_space = box() if real else spaces.Discrete(2 if given == "nowhere" else 3)
        image = spaces.Box(0, 255, (size, size, 1), np.uint8)
        self.observation_space: Any = image
        if given == "observation":
            parts = {"clock": box(0.0, float(steps)), "image": image, "legal": spaces.MultiBinary(3)}
            self.observation_space = spaces.Dict(parts)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.right = bool(self.np_random.integers(2))
        return self.seen()

    def step(self, action: Any) -> Any:
        assert self.given == "nowhere" or self.mask()[action], f"action {action} is not allowed"
        self.elapsed += 1
        over = self.elapsed == self.steps
        wanted = self.right if isinstance(self.action_space, spaces.Discrete) else 2.0 * self.right - 1.0
        reward = 1.0 - abs(float(np.sum(action)) - wanted) if over else 0.0
        observation, info = self.seen()
        return observation, reward, over, False, info

    def mask(self) -> np.ndarray:
        """Which actions are allowed now."""
        return np.array([True, self.elapsed >= self.steps - 1, False])

    def seen(self) -> Any:
        """Observation and info."""
        image = self.np_random.integers(0, 50, (self.size, self.size, 1)).astype(np.uint8)
        if self.elapsed == 0:
            half = self.size // 2
            image[:, half:] += np.uint8(200 * self.right)
            image[:, :half] += np.uint8(200 * (not self.right))
        if self.given == "observation":
            clock = np.array([self.elapsed], np.float32)
            return {"clock": clock, "image": image, "legal": self.mask()}, {}
        return image, {"action_mask": self.mask()} if self.given == "info" else {}
