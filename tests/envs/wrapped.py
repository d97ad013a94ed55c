"""Wrappers as users write them, sound ones and others."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

Env = gymnasium.Env[Any, Any]


class Scaled(gymnasium.ObservationWrapper[Any, Any, Any]):
    """Multiplies observations."""

    def __init__(self, env: Env, factor: float = 0.5) -> None:
        super().__init__(env)
        self.factor = factor

    def observation(self, observation: Any) -> Any:
        """Scaled."""
        return (observation * self.factor).astype(np.float32)


class Raises(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Cannot be made."""

    def __init__(self, env: Env) -> None:
        raise KeyError("no map")


class Texts(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Declares observations that no network reads."""

    def __init__(self, env: Env) -> None:
        super().__init__(env)
        self.observation_space = gymnasium.spaces.Text(5)


class Short(gymnasium.ObservationWrapper[Any, Any, Any]):
    """Gives other observations than it declares."""

    def observation(self, observation: Any) -> Any:
        """Half of it."""
        return observation[:2]


class Remembers(gymnasium.RewardWrapper[Any, Any]):
    """Counts steps of all episodes."""

    count = 0

    def reward(self, reward: Any) -> Any:
        """The reward plus the count."""
        self.count += 1
        return reward + self.count


def three(_: Env) -> int:
    """No environment."""
    return 3


NUMBER = 3
