"""Environments whose episodes are known from their reset seed. Registered when imported."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from tests.envs.probe import Probe

HERE = "tests.collect.environments:"


class Countdown(Probe):
    """An episode of 1 + seed % 23 steps, reward 1 each; the observation counts them. `end` as it ends."""

    def __init__(self, end: str = "terminated") -> None:
        super().__init__()
        self.end = end

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        assert seed is not None
        self.length = length(seed)
        return super().reset(seed=seed)

    def step(self, action: Any) -> Any:
        self.elapsed += 1
        over = self.elapsed >= self.length
        observation = np.array([self.elapsed], np.float32)
        return observation, 1.0, over and self.end == "terminated", over and self.end == "truncated", {}


def length(seed: int) -> int:
    """Steps of the episode of a reset seed."""
    return 1 + seed % 23


for name, environment in {"Countdown-v0": Countdown}.items():
    if name not in gymnasium.registry:
        gymnasium.register(name, environment)
