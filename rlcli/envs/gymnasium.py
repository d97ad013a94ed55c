"""Vector of Gymnasium environments, stepped one after the other in this process.

The environments are stepped directly rather than through Gymnasium's SyncVectorEnv: that gathers every
`info` dictionary into arrays nobody reads, and one environment's exception would leave it unusable.

Shapes: R runs, N environments of one run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from rlcli.envs.boundary import read_reset, read_step, read_steps
from rlcli.envs.episodes import EpisodeLog, split_actions
from rlcli.envs.failures import Failures, check_finite, clear_rows, keep_rows
from rlcli.envs.interface import Array, Step
from rlcli.envs.spec import EnvSpec
from rlcli.envs.untrusted import close, surroundings_kept
from rlcli.envs.user_code import definition_of, prefixed

Env = gymnasium.Env[Any, Any]

CHECKED_STEPS = 1_000
"""Maximum steps of a first episode in which each result is checked by itself."""


class GymnasiumVectorEnv:
    """R x N instances made by `create`; a run whose environment fails is recorded with its exception."""

    def __init__(self, spec: EnvSpec, create: Callable[[], Env], num_runs: int, num_envs: int) -> None:
        self.spec = spec
        self.num_runs = num_runs
        self.num_envs = num_envs
        self.failures: Failures = {}
        self._create = create
        self._envs = [self._create_run(run) for run in range(num_runs)]
        if len(self.failures) == num_runs:
            raise self.failures[0]
        self._current = np.zeros((num_runs, num_envs, *spec.observation.shape), spec.observation.dtype)
        self._log = EpisodeLog(spec, num_runs, num_envs)

    def reset(self, seeds: npt.NDArray[np.int64], mask: npt.NDArray[np.bool_]) -> Array:
        """Starts an episode where `mask [R, N]`; returns the current observations of all."""
        current = self._current.copy()
        for run, index in zip(*(axis.tolist() for axis in mask.nonzero()), strict=True):
            if run in self.failures:
                continue
            seed = int(seeds[run, index])
            self._log.begin(run, index, seed)
            try:
                current[run, index] = self._start_episode(run, index, seed)
            except BaseException as error:
                self._fail(run, index, error)
        shown = self.spec.observation.real(current)
        check_finite(self.failures, self.spec.id, shown, "observation after a reset", self._culprit)
        clear_rows(self.failures, current)
        self._current = current
        return current

    def step(self, actions: Array) -> Step:
        """Steps every environment of every run that has not failed."""
        sent = self.spec.action.to_env(actions)
        self._log.step(sent)
        observations = np.zeros(self._current.shape, self._current.dtype)
        rewards = np.zeros((self.num_runs, self.num_envs))
        terminated, truncated = np.zeros((2, self.num_runs, self.num_envs), np.bool_)
        for run in range(self.num_runs):
            if run in self.failures:
                continue
            rows = (observations[run], rewards[run], terminated[run], truncated[run])
            run_actions = split_actions(self.spec.action, sent[run])
            if self._log.clock <= CHECKED_STEPS and self._log.any_first(run):
                with surroundings_kept():
                    results = self._step_run(run, run_actions)
                self._read(run, results, rows)
                continue
            results = self._step_run(run, run_actions)
            if not read_steps(self.spec.observation, results, rows):
                self._read(run, results, rows)
        if self.spec.observation.start:
            observations -= self.spec.observation.start
        shown = self.spec.observation.real(observations)
        check_finite(self.failures, self.spec.id, shown, "observation", self._culprit)
        check_finite(self.failures, self.spec.id, rewards, "reward", self._culprit)
        if self.failures:
            clear_rows(self.failures, observations, rewards, terminated, truncated)
        self._current = observations
        return Step(observations, rewards, terminated, truncated)

    def _step_run(self, run: int, actions: Iterable[Any]) -> list[Any]:
        """Step results of a run's environments; one that raises makes the run fail."""
        left = iter(actions)
        try:
            return [env.step(action) for env, action in zip(self._envs[run], left, strict=False)]
        except BaseException as error:
            self._fail(run, self.num_envs - 1 - sum(1 for _ in left), error)
            return []

    def _read(self, run: int, results: Sequence[Any], rows: Sequence[Array]) -> None:
        """Writes step results, checked one by one; an invalid one makes the run fail."""
        for index, result in enumerate(results):
            try:
                for row, value in zip(rows, read_step(self.spec.observation, result), strict=True):
                    row[index] = value
            except BaseException as error:
                self._fail(run, index, error)
                return

    def _create_run(self, run: int) -> list[Env]:
        """Creates one run's environments; a run for which not all can be created fails."""
        made: list[Env] = []
        try:
            made.extend(self._create() for _ in range(self.num_envs))
        except Exception as error:
            self.failures[run] = error
            self._close(made)
            return []
        return made

    def _fail(self, run: int, index: int, error: BaseException) -> None:
        """Records a run's failure, with environment, episode, step, reset seed and action."""
        self.failures[run] = self._log.failure(run, index, error, self._place(run, index))

    def _culprit(self, run: int, index: int) -> str:
        """The environment that returned an invalid result, after file and line of the user's method."""
        return prefixed(self._place(run, index), f"{self.spec.named}, {self._log.where(run, index)}")

    def _place(self, run: int, index: int) -> str | None:
        """`file:line` of the user's method that an environment ran last."""
        method = "step" if self._log.length(run, index) else "reset"
        return definition_of(self._envs[run][index], method)

    def select(self, rows: Sequence[int]) -> None:
        """Keeps only these runs, in this order, and closes the environments of the others."""
        self._close(env for run, envs in enumerate(self._envs) if run not in rows for env in envs)
        self._envs = [self._envs[run] for run in rows]
        self._log.select(rows)
        self._current = self._current[list(rows)]
        self.failures = keep_rows(self.failures, rows)
        self.num_runs = len(rows)

    def close(self) -> None:
        """Closes every environment."""
        self._close(env for envs in self._envs for env in envs)

    def _start_episode(self, run: int, index: int, seed: int) -> Any:
        if self.spec.fresh_each_episode:
            self._close([self._envs[run][index]])
            self._envs[run][index] = self._create()
        if self._log.number(run, index) == 1:
            with surroundings_kept():
                result = self._envs[run][index].reset(seed=seed)
        else:
            result = self._envs[run][index].reset(seed=seed)
        observation = read_reset(self.spec.observation, result)
        start = self.spec.observation.start
        return observation - start if start else observation

    def _close(self, envs: Iterable[Env]) -> None:
        for env in envs:
            close(self.spec.id, env)
