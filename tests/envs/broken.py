"""Environments that go wrong on purpose."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from gymnasium import spaces

from tests.envs.probe import NOTHING, Probe, box


class Faulty(Probe):
    """At step `at` of an episode it raises, or gives NaN or infinity; only in the episode of reset seed
    `seed`, if that is given. `fault`: raise, reward, observation, infinity, reset.
    """

    def __init__(self, fault: str = "raise", at: int = 3, seed: int | None = None) -> None:
        super().__init__()
        self.fault, self.at, self.chosen = fault, at, seed

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self.due = self.chosen is None or self.chosen == seed
        if self.due and self.fault == "reset":
            raise RuntimeError("broken at reset")
        return super().reset(seed=seed)

    def step(self, action: Any) -> Any:
        self.elapsed += 1
        observation, reward = np.full(1, 0.01 * self.elapsed, np.float32), 1.0
        if self.due and self.elapsed == self.at:
            if self.fault == "raise":
                raise RuntimeError(f"broken at step {self.at}")
            if self.fault == "reward":
                reward = math.nan
            else:
                observation[0] = math.inf if self.fault == "infinity" else math.nan
        return observation, reward, self.elapsed == 20, False, {}


class Impossible(Probe):
    """At step 3 it shows a choice that its Dict space does not have."""

    def __init__(self) -> None:
        super().__init__()
        self.observation_space = spaces.Dict(
            {"door": spaces.Discrete(3, start=-1), "lamps": spaces.MultiBinary(2)}
        )

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        return {"door": -1, "lamps": np.zeros(2, np.int8)}, {}

    def step(self, action: Any) -> Any:
        self.elapsed += 1
        return {"door": 2 if self.elapsed == 3 else 1, "lamps": np.ones(2, np.int8)}, 0.0, False, False, {}


class Remembering(Probe):
    """The instance's past flows into the next episode: it observes how many steps it has ever made."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def step(self, action: Any) -> Any:
        self.seen += 1
        self.elapsed += 1
        return np.array([self.seen], np.float32), 0.0, self.elapsed == 7, False, {}


class Unrepeatable(Probe):
    """A count of the process flows into every step: no replay gives the same episode."""

    count = itertools.count()

    def __init__(self, space: str = "box") -> None:
        super().__init__()
        self.wrapped = {
            "box": lambda seen: seen,
            "dict": lambda seen: {"seen": seen},
            "tuple": lambda seen: (seen,),
        }[space]
        seen = box()
        self.observation_space = {
            "box": seen,
            "dict": spaces.Dict({"seen": seen}),
            "tuple": spaces.Tuple((seen,)),
        }[space]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        return self.wrapped(NOTHING.copy()), {}

    def step(self, action: Any) -> Any:
        return self.wrapped(np.array([next(self.count)], np.float32)), 0.0, False, False, {}
