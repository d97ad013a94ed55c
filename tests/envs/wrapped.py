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


class Silent(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Keeps what `info` says to itself."""

    def reset(self, **given: Any) -> Any:
        """Without info."""
        return self.env.reset(**given)[0], {}

    def step(self, action: Any) -> Any:
        """Without info."""
        return (*self.env.step(action)[:4], {})


class FewerActions(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Allows the first two actions alone."""

    def reset(self, **given: Any) -> Any:
        """With a mask."""
        observation, info = self.env.reset(**given)
        return observation, info | self.mask

    def step(self, action: Any) -> Any:
        """With a mask."""
        assert action < 2
        *result, info = self.env.step(action)
        return (*result, info | self.mask)

    @property
    def mask(self) -> dict[str, Any]:
        """Of all choices."""
        return {"action_mask": np.arange(self.action_space.n) < 2}


def three(_: Env) -> int:
    """No environment."""
    return 3


NUMBER = 3
