"""The collector: steps R x N environments T times under R policies.

Shapes: T time, R runs, N environments of one run. Only the actor runs inside the stepping loop, on noise that
is drawn once a rollout; values and log-probabilities follow later, in one batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rlcli.collect.memory import forgotten, stacked
from rlcli.collect.record import Ongoing, Record, stack
from rlcli.collect.rollout import Episodes, Rollout
from rlcli.collect.state import CollectorState, episode_seed, restore
from rlcli.envs.interface import Step, VectorEnv
from rlcli.maths.draws import generator
from rlcli.maths.segments import segments
from rlcli.nets.actor import Actor
from rlcli.nets.policy import Model, Snapshot

Array = npt.NDArray[Any]

REPORT_EVERY = 0.25
"""Minimum seconds between two reports of a rollout's progress; its end is always reported."""


class Collector:
    """Steps the environments of a cohort and keeps what their next rollout starts from.

    With `whole_episodes` that is always the start of episodes: what is unfinished at a rollout's end is left.
    """

    def __init__(
        self,
        model: Model,
        env: VectorEnv,
        seeds: Sequence[int],
        rollout_steps: int,
        replay_limit: int,
        device: str,
        states: Sequence[CollectorState] | None = None,
        *,
        whole_episodes: bool = False,
    ) -> None:
        self.model = model
        self.env = env
        self.seeds = list(seeds)
        self.rollout_steps = rollout_steps
        self.replay_limit = replay_limit
        self.device = device
        self.whole_episodes = whole_episodes
        self.states, self._observations, self.given_up = restore(
            env, self.seeds, states, model.network.memory_width
        )
        self._memory = stacked(self.states)
        self._on_steps: Callable[[int], None] = lambda _: None
        self._report_due = 0.0

    def listen(self, on_steps: Callable[[int], None]) -> None:
        """Sets the function that is called with the env steps of each run in the rollout so far."""
        self._on_steps = on_steps

    def collect(self, behaviour: Snapshot, updates: Sequence[int]) -> tuple[Rollout, list[Episodes]]:
        """One rollout of every run under its behaviour policy; `updates[r]` are done and number the draws."""
        noise = self._noise(updates).numpy()
        act = self._actor(behaviour)
        record = self._begin()
        for t in range(self.rollout_steps):
            acted = act(self._observations, noise[t], self._memory)
            self._memory = acted.memory
            self._step(record, acted.actions, acted.outputs)
        if self.whole_episodes:
            unfinished = record.ongoing.leave_unfinished()
            record.end(unfinished, self._observations)
            self._observations = self.env.reset(self._starts(record.ongoing, unfinished), unfinished)
            self._memory = forgotten(self._memory, unfinished)
        return self._end(record)

    def select(self, rows: Sequence[int]) -> None:
        """Keeps only these runs."""
        self.env.select(rows)
        self.seeds = [self.seeds[row] for row in rows]
        self.states = [self.states[row] for row in rows]
        self._observations = self._observations[list(rows)]
        self._memory = None if self._memory is None else self._memory[list(rows)]
        self.given_up = self.given_up[list(rows)]

    def _actor(self, behaviour: Snapshot) -> Actor:
        return Actor(self.model, behaviour)

    def _noise(self, updates: Sequence[int]) -> Tensor:
        """[T, R, N, ...]: each run's noise drawn by itself, then stacked."""
        shape = (self.rollout_steps, self.env.num_envs)
        draws = [
            self.model.family.noise(shape, generator(seed, "action", update))
            for seed, update in zip(self.seeds, updates, strict=True)
        ]
        return torch.stack(draws, 1)

    def _begin(self) -> Record:
        return Record(Ongoing(self.states), self._memory)

    def _step(self, record: Record, actions: Array, outputs: Array) -> Step:
        """Takes the actions [R, N, ...] that a policy with these outputs chose, and books what came of it."""
        step = self.env.step(actions.reshape(*actions.shape[:2], *self.env.spec.action.shape))
        record.observations.append(self._observations)
        record.actions.append(actions)
        record.outputs.append(outputs)
        record.outcomes.append((*step.lesson, step.truncated))
        self._report(len(record.outcomes))
        self._observations = self._advance(record, step)
        return step

    def _report(self, steps: int) -> None:
        """Reports steps of each environment, if a report is due."""
        if time.monotonic() >= self._report_due or steps == self.rollout_steps:
            self._on_steps(steps * self.env.num_envs)
            self._report_due = time.monotonic() + REPORT_EVERY

    def _end(self, record: Record, last: Array | Tensor | None = None) -> tuple[Rollout, list[Episodes]]:
        """The rollout that was recorded, and the episodes that ended in it.

        `last` are the observations after its last step, where they are on a device.
        """
        actions = stack(record.actions)
        history = actions.reshape(*actions.shape[:3], *self.env.spec.action.shape).cpu().numpy()
        self.states = record.ongoing.states(
            self.states, history, self._observations, self._memory, self.replay_limit
        )
        rewards, terminated, truncated = (stack(part) for part in zip(*record.outcomes, strict=True))
        rollout = Rollout(
            stack([*record.observations, self._observations if last is None else last]),
            record.finals(),
            actions,
            rewards,
            terminated,
            truncated,
            stack(record.outputs),
            self._counted(terminated | truncated),
            None if record.memory is None else torch.from_numpy(record.memory),
        )
        return rollout.to(self.device), record.ongoing.ended

    def _counted(self, ended: Tensor) -> Tensor:
        """Which steps [T, R, N] belong to episodes that count."""
        if not self.whole_episodes:
            return torch.ones_like(ended)
        return segments(ended, self.env.spec.max_episode_steps).counted

    def _advance(self, record: Record, step: Step) -> Array:
        """Records the step and begins the next episode where one ended; the observations to act on next."""
        ended, ongoing = step.terminated | step.truncated, record.ongoing
        ongoing.add(step.rewards)
        self._memory = forgotten(self._memory, step.lesson.terminated)
        if not ended.any():
            return step.observations
        record.end(ended, step.observations)
        ongoing.end(ended)
        self._memory = forgotten(self._memory, ended)
        return self.env.reset(self._starts(ongoing, ended), ended)

    def _starts(self, ongoing: Ongoing, where: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        """The seeds [R, N] of the episodes that are next."""
        starts = np.zeros(where.shape, np.int64)
        for r, n in np.argwhere(where).tolist():
            starts[r, n] = episode_seed(self.seeds[r], n, int(ongoing.episodes[r, n]))
        return starts
