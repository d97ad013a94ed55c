"""Any Gymnasium environment, stepped one after the other in this process.

The environments are stepped directly rather than through Gymnasium's SyncVectorEnv: that gathers every
`info` dictionary into arrays nobody reads, and one environment's exception would leave it unusable.

Shapes: R runs, N environments of one run.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from rlcli.envs.failures import Failures, check_finite, clear_rows, keep_rows
from rlcli.envs.interface import Array, Step
from rlcli.envs.spec import EnvSpec

Env = gymnasium.Env[Any, Any]


class GymnasiumVectorEnv:
    """R x N instances made by `create`; a run whose environment fails is set aside with its exception."""

    def __init__(self, spec: EnvSpec, create: Callable[[], Env], num_runs: int, num_envs: int) -> None:
        self.spec = spec
        self.num_runs = num_runs
        self.num_envs = num_envs
        self.failures: Failures = {}
        self._create = create
        self._envs = [[create() for _ in range(num_envs)] for _ in range(num_runs)]
        self._current = np.zeros((num_runs, num_envs, *spec.observation.shape), spec.observation.dtype)

    def reset(self, seeds: npt.NDArray[np.int64], mask: npt.NDArray[np.bool_]) -> Array:
        """Starts an episode where `mask [R, N]`; returns the current observations of all."""
        current = self._current.copy()
        for run, index in np.argwhere(mask).tolist():
            if run in self.failures:
                continue
            try:
                current[run, index] = self._start_episode(run, index, int(seeds[run, index]))
            except Exception as error:
                self.failures[run] = error
        check_finite(self.failures, self.spec.id, current, "observation after a reset")
        clear_rows(self.failures, current)
        self._current = current
        return current

    def step(self, actions: Array) -> Step:
        """Steps every environment of every run that has not failed."""
        sent = self.spec.action.to_env(actions)
        observations = np.zeros(self._current.shape, self._current.dtype)
        rewards = np.zeros((self.num_runs, self.num_envs))
        terminated = np.zeros((self.num_runs, self.num_envs), np.bool_)
        truncated = np.zeros((self.num_runs, self.num_envs), np.bool_)
        for run, envs in enumerate(self._envs):
            if run in self.failures:
                continue
            try:
                taken = self._apart(sent[run])
                results = [env.step(action) for env, action in zip(envs, taken, strict=True)]
                for index, seen in enumerate(self._ours([result[0] for result in results])):
                    observations[run, index] = seen
                rewards[run] = [result[1] for result in results]
                terminated[run] = [result[2] for result in results]
                truncated[run] = [result[3] for result in results]
            except Exception as error:
                self.failures[run] = error
        if self.spec.observation.start:
            observations -= self.spec.observation.start
        check_finite(self.failures, self.spec.id, observations, "observation")
        check_finite(self.failures, self.spec.id, rewards, "reward")
        clear_rows(self.failures, observations, rewards, terminated, truncated)
        self._current = observations
        return Step(observations, rewards, terminated, truncated)

    def select(self, rows: Sequence[int]) -> None:
        """Keeps only these runs, in this order, and closes the environments of the others."""
        _close(env for run, envs in enumerate(self._envs) if run not in rows for env in envs)
        self._envs = [self._envs[run] for run in rows]
        self._current = self._current[list(rows)]
        self.failures = keep_rows(self.failures, rows)
        self.num_runs = len(rows)

    def close(self) -> None:
        """Closes every environment."""
        _close(env for envs in self._envs for env in envs)

    def _apart(self, sent: Array) -> Iterable[Any]:
        """One run's actions, one by one."""
        action = self.spec.action
        if action.kind == "discrete":
            # Python's own integers: `Discrete.contains` checks them twice as fast as numpy's.
            return list(sent.tolist())
        # An array of rank 1 comes apart into scalars, which a `Box` of shape () does not contain.
        return map(np.asarray, sent) if action.kind == "box" and not action.shape else sent

    def _start_episode(self, run: int, index: int, seed: int) -> Any:
        if self.spec.fresh_each_episode:
            _close([self._envs[run][index]])
            self._envs[run][index] = self._create()
        observation, _ = self._envs[run][index].reset(seed=seed)
        [seen] = self._ours([observation])
        return seen - self.spec.observation.start if self.spec.observation.start else seen

    def _ours(self, given: Sequence[Any]) -> Sequence[Any] | Array:
        """Observations as one array each: those with members as vectors, all others as they are."""
        spec = self.spec.observation
        if not spec.members:
            return given
        return spec.vectors([np.array([member.of(one) for one in given]) for member in spec.members])


def _close(envs: Iterable[Env]) -> None:
    for env in envs:
        # An environment that has just failed may fail again here; what it had to say has been recorded.
        with contextlib.suppress(Exception):
            env.close()
