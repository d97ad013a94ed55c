"""Environments that end, or occupy, the process that steps them; registered when imported."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class Deadly(gymnasium.Env[Any, Any]):
    """At step 5 of the episode of reset seed `seed` it does its deed; it observes its own past.

    die: it kills its process. hang: it never returns. raise: it raises; always raise: in every episode.
    slow: each step takes 20 ms from that episode on, without `seed` always.
    """

    def __init__(self, deed: str = "none", seed: int | None = None) -> None:
        self.observation_space = spaces.Box(-1e6, 1e6, (2,), np.float32)
        self.action_space = spaces.Discrete(2)
        self.deed, self.chosen = deed, seed
        self.slow = deed == "slow" and seed is None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.elapsed, self.total = 0, float(self.np_random.uniform())
        self.due = seed == self.chosen or self.deed == "always raise"
        return self._shown(), {}

    def step(self, action: Any) -> Any:
        self.elapsed += 1
        self.total = 0.5 * self.total + float(action)
        self.slow |= self.due and self.deed == "slow"
        if self.slow:
            time.sleep(0.02)
        if self.due and self.elapsed == 5:
            self._do()
        return self._shown(), self.total, self.total > 1.9, self.elapsed == 30, {}

    def _do(self) -> None:
        if self.deed == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.deed == "hang":
            time.sleep(1e6)
        if self.deed in ("raise", "always raise"):
            raise RuntimeError("the reactor is too hot")

    def _shown(self) -> Any:
        return np.array([self.elapsed, self.total], np.float32)


ID = "tests.actors.environments:Deadly-v0"
if "Deadly-v0" not in gymnasium.registry:
    gymnasium.register("Deadly-v0", Deadly)
