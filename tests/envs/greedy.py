"""An environment whose arguments say how much memory and time its making takes."""

from __future__ import annotations

import time
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.classic_control import CartPoleEnv


class Greedy(CartPoleEnv):
    """CartPole with a table of its own, and a wait before it."""

    def __init__(self, size: int = 0, wait: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.table = np.ones(size)
        time.sleep(wait)


gymnasium.register("Greedy-v0", f"{__name__}:Greedy", max_episode_steps=100)
