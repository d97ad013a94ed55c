"""Environments whose episodes are known from their reset seed. Registered when imported."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from tests.envs.probes import Probe

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


class Signal(Probe):
    """Reward 1 where the action is the sign of the observation: shift + scale x, x standard normal."""

    def __init__(self, shift: float = 0.0, scale: float = 0.01, kind: str = "float64") -> None:
        super().__init__()
        self.shift, self.scale, self.kind = shift, scale, np.dtype(kind)
        part = gymnasium.spaces.Box(-np.inf, np.inf, (2,), self.kind if self.kind.kind == "f" else np.float64)
        self.observation_space = part
        if self.kind.kind == "i":
            info = np.iinfo(self.kind)
            self.observation_space = gymnasium.spaces.Box(info.min, info.max, (2,), self.kind)

    def seen(self) -> Any:
        self.x = self.np_random.standard_normal(2)
        return (self.shift + self.scale * self.x).astype(self.kind)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        return self.seen(), {}

    def step(self, action: Any) -> Any:
        self.elapsed += 1
        reward = float((self.x[0] > 0) == bool(action))
        return self.seen(), reward, False, self.elapsed >= 25, {}


class Named(Signal):
    """The same as a member of a Dict, beside a choice."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        choice = gymnasium.spaces.Discrete(3)
        self.observation_space = gymnasium.spaces.Dict({"choice": choice, "signal": self.observation_space})

    def seen(self) -> Any:
        return {"choice": self.elapsed % 3, "signal": super().seen()}


def length(seed: int) -> int:
    """Steps of the episode of a reset seed."""
    return 1 + seed % 23


for name, environment in {"Countdown-v0": Countdown, "Signal-v0": Signal, "Named-v0": Named}.items():
    if name not in gymnasium.registry:
        gymnasium.register(name, environment)
