"""Vector environment of MuJoCo tasks: R x N simulations stepped one by one, numbers computed for all at once.

Shapes: R runs, N environments of one run, K = R N simulations, O observations.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rlcli.envs.boundary import InvalidResult, read_reset
from rlcli.envs.episodes import EpisodeLog
from rlcli.envs.failures import Failures, check_finite, clear_rows, keep_rows
from rlcli.envs.interface import Array, Step
from rlcli.envs.mujoco.simulations import Doubles, Simulations
from rlcli.envs.mujoco.task import Flags, Task
from rlcli.envs.spec import EnvSpec

NEVER = np.iinfo(np.int64).max


class MujocoVectorEnv:
    """R x N simulations of one task; a run whose simulation fails is recorded with its exception."""

    def __init__(self, spec: EnvSpec, task: Task, num_runs: int, num_envs: int) -> None:
        self.spec = spec
        self.num_runs = num_runs
        self.num_envs = num_envs
        self.failures: Failures = {}
        self._task = task
        self._simulations = Simulations(
            task.body.model,
            task.reads,
            num_runs * num_envs,
            task.body.frames,
            external_forces=task.external_forces,
        )
        self._log = EpisodeLog(spec, num_runs, num_envs)
        self._time_limit = NEVER if spec.max_episode_steps is None else spec.max_episode_steps
        self._lengths = np.zeros((num_runs, num_envs), np.int64)
        self._positions = np.zeros(num_runs * num_envs)
        """[K]: where each body was."""
        self._current = np.zeros((num_runs, num_envs, *spec.observation.shape), spec.observation.dtype)

    def reset(self, seeds: npt.NDArray[np.int64], mask: Flags) -> Array:
        """Starts an episode where `mask [R, N]`; returns the current observations of all."""
        started = []
        for run, index in zip(*(axis.tolist() for axis in mask.nonzero()), strict=True):
            if run in self.failures:
                continue
            seed, place = int(seeds[run, index]), run * self.num_envs + index
            self._log.begin(run, index, seed)
            try:
                draws = np.random.Generator(np.random.PCG64(seed))
                self._simulations.reset(place, *self._task.first_state(draws))
            except BaseException as error:
                self._fail(run, index, error)
            else:
                started.append(place)
        current = self._current.copy()
        if started:
            table = self._simulations.table.rows(started)
            self._positions[started] = self._task.position(table)
            self._lengths.reshape(-1)[started] = 0
            found = self._cast(self._task.observe(table), started)
            current.reshape(-1, *self.spec.observation.shape)[started] = found
        check_finite(self.failures, self.spec.id, current, "observation after a reset", self._culprit)
        clear_rows(self.failures, current)
        self._current = current
        return current

    def step(self, actions: Array) -> Step:
        """Steps every simulation of every run that has not failed."""
        sent = np.ascontiguousarray(self.spec.action.to_env(actions))
        self._log.step(sent)
        self._lengths += 1
        for run in range(self.num_runs):
            if run not in self.failures:
                self._simulate(run, sent[run])
        task, table = self._task, self._simulations.table
        # A number that is not finite fails its run below; numpy need not warn of it too.
        with np.errstate(over="ignore", invalid="ignore"):
            positions = task.position(table)
            progress = (positions - self._positions) / task.body.time_step
            rewards, terminated = task.outcome(table, progress, sent.reshape(len(positions), -1))
        self._positions = positions
        observations = self._cast(task.observe(table), range(len(positions)))
        shape = (self.num_runs, self.num_envs)
        step = Step(
            observations.reshape(self._current.shape),
            rewards.reshape(shape),
            terminated.reshape(shape),
            self._lengths >= self._time_limit,
        )
        check_finite(self.failures, self.spec.id, step.observations, "observation", self._culprit)
        check_finite(self.failures, self.spec.id, step.rewards, "reward", self._culprit)
        clear_rows(self.failures, *step)
        self._current = step.observations
        return step

    def select(self, rows: Sequence[int]) -> None:
        """Keeps only these runs, in this order."""
        kept = list(rows)
        places = [run * self.num_envs + index for run in kept for index in range(self.num_envs)]
        self._simulations.select(places)
        self._log.select(kept)
        self._positions = self._positions[places]
        self._lengths, self._current = self._lengths[kept], self._current[kept]
        self.failures = keep_rows(self.failures, kept)
        self.num_runs = len(kept)

    def close(self) -> None:
        """Releases the simulations."""
        self._simulations.select([])

    def _simulate(self, run: int, controls: Array) -> None:
        """Steps one run's simulations; one that raises makes the run fail."""
        first = run * self.num_envs
        left = iter(range(first, first + self.num_envs))
        try:
            self._simulations.step(left, controls)
        except BaseException as error:
            self._fail(run, self.num_envs - 1 - sum(1 for _ in left), error)

    def _cast(self, observations: Doubles, places: Sequence[int]) -> Array:
        """Observations in the type of the spec; a number that is too large for it makes its run fail."""
        wanted = self.spec.observation.dtype
        try:
            with np.errstate(over="raise"):
                return observations.astype(wanted)
        except FloatingPointError:
            for place, observation in zip(places, observations, strict=True):
                self._check(*divmod(place, self.num_envs), observation)
        with np.errstate(over="ignore"):
            return observations.astype(wanted)

    def _check(self, run: int, index: int, observation: Doubles) -> None:
        if run in self.failures:
            return
        try:
            read_reset(self.spec.observation, (observation, {}))
        except InvalidResult as error:
            self._fail(run, index, error)

    def _fail(self, run: int, index: int, error: BaseException) -> None:
        """Records a run's failure, with environment, episode, step, reset seed and action."""
        self.failures[run] = self._log.failure(run, index, error)
        first = run * self.num_envs
        self._simulations.table.values[first : first + self.num_envs] = 0

    def _culprit(self, run: int, index: int) -> str:
        return f"{self.spec.id}, {self._log.where(run, index)}"
