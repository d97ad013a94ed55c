"""An environment that does one thing no environment should; registered when imported."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class Unprintable(Exception):
    """Its own text cannot be had."""

    def __str__(self) -> str:
        raise ValueError("no text")


class Odd(gymnasium.Env[Any, Any]):
    """Episodes of 10 steps of reward 1 that observe the last action.

    `deed` is done at step `at` (0: the reset) of the episode with reset seed `seed` (None: of all).
    """

    def __init__(self, deed: str = "none", at: int = 3, seed: int | None = None, goals: Any = None) -> None:
        self.observation_space = spaces.Discrete(5)
        self.action_space = spaces.Discrete(2)
        self.deed, self.at, self.chosen = deed, at, seed
        self.goal = None if goals is None else goals["inner"].pop()
        if deed == "make":
            sys.exit(0)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.elapsed, self.due = 0, self.chosen in (None, seed)
        return self._result(0)[0], {}

    def step(self, action: Any) -> Any:
        self.elapsed += 1
        return self._result(int(action))

    def close(self) -> None:
        if self.deed == "close":
            raise Unprintable

    def _result(self, observation: Any) -> Any:
        if self.due and self.elapsed == self.at and self.deed in DEEDS:
            observation = DEEDS[self.deed]()
        return observation, 1.0, self.elapsed == 10, False, {}


def _raise(error: BaseException) -> None:
    raise error


def _move() -> int:
    os.chdir("/")
    return 1


def _print() -> int:
    print("from Python")
    os.write(1, b"from C\n")
    return 1


def _listen() -> int:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    np.seterr(all="raise")
    return 1


DEEDS: dict[str, Callable[[], Any]] = {
    "choice": lambda: 7,
    "half": lambda: 1.7,
    "text": lambda: "3",
    "unprintable": lambda: _raise(Unprintable()),
    "exit": lambda: sys.exit(0),
    "interrupt": lambda: _raise(KeyboardInterrupt()),
    "generator": lambda: _raise(GeneratorExit()),
    "move": _move,
    "print": _print,
    "listen": _listen,
}


class Blind(gymnasium.Env[Any, Any]):
    """A bandit without observations: the second of three arms pays more; episodes of 10 steps."""

    def __init__(self, shape: tuple[int, ...] = (0,)) -> None:
        self.observation_space = spaces.Box(-1.0, 1.0, tuple(shape), np.float32)
        self.action_space = spaces.Discrete(3)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.elapsed = 0
        return np.zeros(self.observation_space.shape, np.float32), {}

    def step(self, action: Any) -> Any:
        self.elapsed += 1
        reward = self.np_random.normal() + 2.0 * (action == 1)
        observation = np.zeros(self.observation_space.shape, np.float32)
        return observation, reward, self.elapsed == 10, False, {}


for name, environment in {"Odd-v0": Odd, "Blind-v0": Blind}.items():
    if name not in gymnasium.registry:
        gymnasium.register(name, environment)
