"""What an actor's environments have been through since their resets, to restore them in another process.

Shapes: R runs, n environments of each in this actor.
"""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt

from rlcli.collect.state import replay
from rlcli.envs.interface import Array, VectorEnv


class Journal:
    """Reset seeds of the current episodes, and the actions since the oldest reset, `limit` at most."""

    def __init__(self, runs: int, count: int, limit: int) -> None:
        self._seeds = np.zeros((runs, count), np.int64)
        self._began = np.zeros((runs, count), np.int64)
        self._clock = 0
        """Steps so far."""
        self._actions: deque[Array] = deque(maxlen=max(1, limit))

    def reset(self, seeds: npt.NDArray[np.int64], mask: npt.NDArray[np.bool_]) -> None:
        """Records the reset of environments `mask` [R, n]."""
        self._seeds = np.where(mask, seeds, self._seeds)
        self._began = np.where(mask, self._clock, self._began)

    def step(self, actions: Array) -> None:
        """Records a step with `actions` [R, n, ...]."""
        self._actions.append(actions)
        self._clock += 1
        longest = self._clock - int(self._began.min())
        while len(self._actions) > longest:
            self._actions.popleft()

    def select(self, rows: list[int]) -> None:
        """Keeps only these runs."""
        self._seeds, self._began = self._seeds[rows], self._began[rows]
        self._actions = deque((one[rows] for one in self._actions), self._actions.maxlen)

    def restore(self, env: VectorEnv, shown: Array) -> str | None:
        """Brings new environments to where the old ones were; None, or why they are elsewhere.

        `shown` [R, n, ...] are the observations that they had been at.
        """
        if not env.spec.exact_resume:
            return str(env.spec.inexact_reason)
        oldest = self._clock - len(self._actions)
        if self._began.min() < oldest:
            return "an episode is longer than env.replay_limit"
        observations = env.reset(self._seeds, np.ones(self._seeds.shape, bool))
        if self._actions:
            actions = np.stack(self._actions)
            observations, _ = replay(env, actions, self._began - oldest, self._seeds, observations)
        if not np.array_equal(observations, shown):
            return "their episodes did not repeat themselves"
        return None
