"""Any Gymnasium environment, stepped one after the other in this process.

The environments are stepped directly rather than through Gymnasium's SyncVectorEnv: that gathers every
`info` dictionary into arrays nobody reads, and one environment's exception would leave it unusable.

Shapes: R runs, N environments of one run.
"""

from __future__ import annotations

import contextlib
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from rlcli.envs.boundary import Rows, Wrong, read_reset, read_step, read_steps
from rlcli.envs.failures import Failures, check_finite, clear_rows, keep_rows
from rlcli.envs.interface import Array, Step
from rlcli.envs.spec import EnvSpec
from rlcli.envs.untrusted import close, contained, folder, surroundings_kept
from rlcli.errors import EnvironmentFault

Env = gymnasium.Env[Any, Any]

WATCHED = 1_000
"""Steps, at most, of an environment's first episode in which each result is looked at by itself."""


class GymnasiumVectorEnv:
    """R x N instances made by `create`; a run whose environment fails is set aside with its exception."""

    def __init__(self, spec: EnvSpec, create: Callable[[], Env], num_runs: int, num_envs: int) -> None:
        self.spec = spec
        self.num_runs = num_runs
        self.num_envs = num_envs
        self.failures: Failures = {}
        self._create = create
        self._envs = [self._made(run) for run in range(num_runs)]
        if len(self.failures) == num_runs:
            raise self.failures[0]
        self._current = np.zeros((num_runs, num_envs, *spec.observation.shape), spec.observation.dtype)
        self._stay = folder()
        self._clock = 0
        """Steps of all environments since they were made."""
        self._episodes = [[_NOT_BEGUN] * num_envs for _ in range(num_runs)]

    def reset(self, seeds: npt.NDArray[np.int64], mask: npt.NDArray[np.bool_]) -> Array:
        """Starts an episode where `mask [R, N]`; returns the current observations of all."""
        current = self._current.copy()
        for run, index in np.argwhere(mask).tolist():
            if run in self.failures:
                continue
            number = self._episodes[run][index][0] + 1
            self._episodes[run][index] = number, self._clock, int(seeds[run, index])
            try:
                current[run, index] = self._start_episode(run, index)
            except BaseException as error:
                self._fail(run, index, error)
        self._stay()
        check_finite(self.failures, self.spec.id, current, "observation after a reset")
        clear_rows(self.failures, current)
        self._current = current
        return current

    def step(self, actions: Array) -> Step:
        """Steps every environment of every run that has not failed."""
        sent = self.spec.action.to_env(actions)
        shape = (self.num_runs, self.num_envs)
        found = Rows(
            np.zeros(self._current.shape, self._current.dtype),
            np.zeros(shape),
            np.zeros(shape, np.bool_),
            np.zeros(shape, np.bool_),
        )
        self._clock += 1
        for run, envs in enumerate(self._envs):
            if run not in self.failures:
                rows = Rows(*(part[run] for part in found))
                self._step_run(run, envs, self._apart(sent[run]), rows)
        self._stay()
        if self.spec.observation.start:
            found.observations[...] -= self.spec.observation.start
        check_finite(self.failures, self.spec.id, found.observations, "observation")
        check_finite(self.failures, self.spec.id, found.rewards, "reward")
        clear_rows(self.failures, *found)
        self._current = found.observations
        return Step(*found)

    def _step_run(self, run: int, envs: Sequence[Env], actions: Iterable[Any], rows: Rows) -> None:
        """Steps one run's environments and writes what they gave; a fault sets the run aside."""
        results: list[Any] = []
        taken = map(operator.call, [env.step for env in envs], actions)
        watched = self._watched(run)
        try:
            if watched:
                with surroundings_kept():
                    results.extend(taken)
            else:
                results.extend(taken)
        except BaseException as error:
            self._fail(run, len(results), error)
            return
        if not watched and read_steps(self.spec.observation, results, rows):
            return
        for index, result in enumerate(results):
            try:
                for row, value in zip(rows, read_step(self.spec.observation, result), strict=True):
                    row[index] = value
            except BaseException as error:
                self._fail(run, index, error)
                return

    def _watched(self, run: int) -> bool:
        """Whether an environment of the run is in its first episode, and not long in it."""
        return self._clock <= WATCHED and any(number == 1 for number, _, _ in self._episodes[run])

    def _made(self, run: int) -> list[Env]:
        """One run's environments; a run for which not all can be made is set aside."""
        made: list[Env] = []
        try:
            made.extend(self._create() for _ in range(self.num_envs))
        except Exception as error:
            self.failures[run] = error
            self._close(made)
            return []
        return made

    def _fail(self, run: int, index: int, error: BaseException) -> None:
        """Sets a run aside, saying where in which episode it was."""
        number, began, seed = self._episodes[run][index]
        step = self._clock - began
        when = f"step {step} of its episode {number}" if step else f"the reset of its episode {number}"
        where = f"environment {index}, {when} (reset seed {seed})"
        if isinstance(error, Wrong):
            failure: Exception = EnvironmentFault(f"{self.spec.id}, {where}: {error}.")
        else:
            failure = contained(error, f"{self.spec.id}, {where},")
            with contextlib.suppress(Exception):
                failure.add_note(f"In {self.spec.id}, {where}.")
        self.failures[run] = failure

    def select(self, rows: Sequence[int]) -> None:
        """Keeps only these runs, in this order, and closes the environments of the others."""
        self._close(env for run, envs in enumerate(self._envs) if run not in rows for env in envs)
        self._envs = [self._envs[run] for run in rows]
        self._episodes = [self._episodes[run] for run in rows]
        self._current = self._current[list(rows)]
        self.failures = keep_rows(self.failures, rows)
        self.num_runs = len(rows)

    def close(self) -> None:
        """Closes every environment."""
        self._close(env for envs in self._envs for env in envs)

    def _apart(self, sent: Array) -> Iterable[Any]:
        """One run's actions, one by one."""
        action = self.spec.action
        if action.kind == "discrete":
            # Python's own integers: `Discrete.contains` checks them twice as fast as numpy's.
            return list(sent.tolist())
        # An array of rank 1 comes apart into scalars, which a `Box` of shape () does not contain.
        return map(np.asarray, sent) if action.kind == "box" and not action.shape else sent

    def _start_episode(self, run: int, index: int) -> Any:
        number, _, seed = self._episodes[run][index]
        if self.spec.fresh_each_episode:
            self._close([self._envs[run][index]])
            self._envs[run][index] = self._create()
        if number == 1:
            with surroundings_kept():
                result = self._envs[run][index].reset(seed=seed)
        else:
            result = self._envs[run][index].reset(seed=seed)
        seen = read_reset(self.spec.observation, result)
        return seen - self.spec.observation.start if self.spec.observation.start else seen

    def _close(self, envs: Iterable[Env]) -> None:
        for env in envs:
            close(self.spec.id, env)


_NOT_BEGUN = (0, 0, 0)
"""Of each environment: number of its episode from 1, the clock at its reset, its reset seed."""
