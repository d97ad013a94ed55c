"""Rollouts: R policies meet R x N environments for T steps.

Shapes: T time, R runs, N environments of one run, D policy outputs. Only the actor runs inside the stepping
loop, on noise drawn once a rollout; values and log-probabilities follow later, in one batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rlcli.collect.state import RECENT, CollectorState, episode_seed, restore
from rlcli.envs.interface import Step, VectorEnv
from rlcli.maths.draws import generator
from rlcli.maths.importance import segments
from rlcli.nets.actor import Actor
from rlcli.nets.policy import Model, Snapshot

Array = npt.NDArray[Any]


class Rollout(NamedTuple):
    """What R runs saw and did; tensors on the learner's device."""

    observations: Tensor
    """[T, R, N, ...], raw."""
    actions: Tensor
    """[T, R, N] or [T, R, N, A], raw: not clipped to bounds."""
    rewards: Tensor
    """[T, R, N] float64, raw."""
    terminated: Tensor
    """[T, R, N]."""
    truncated: Tensor
    """[T, R, N]."""
    next_observations: Tensor
    """[T, R, N, ...]: true successors, the final observation where an episode ended."""
    outputs: Tensor
    """[T, R, N, D]: the policy head's outputs while acting."""
    counted: Tensor
    """[T, R, N]: whether the step's episode counts, as not all do where whole ones are asked for."""


class Episodes(NamedTuple):
    """The episodes of one run that ended within a rollout."""

    returns: list[float]
    lengths: list[int]


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
        self.states, self._observations, self.given_up = restore(env, self.seeds, states)

    def collect(self, behaviour: Snapshot, updates: Sequence[int]) -> tuple[Rollout, list[Episodes]]:
        """One rollout of every run under its behaviour policy; `updates[r]` are done and number the draws."""
        noise = self._noise(updates).numpy()
        act = Actor(self.model, behaviour)
        record = self._begin()
        for t in range(self.rollout_steps):
            self._step(record, *act(self._observations, noise[t]))
        if self.whole_episodes:
            unfinished = record.ongoing.leave_unfinished()
            self._observations = self.env.reset(self._starts(record.ongoing, unfinished), unfinished)
        return self._end(record)

    def select(self, rows: Sequence[int]) -> None:
        """Keeps only these runs."""
        self.env.select(rows)
        self.seeds = [self.seeds[row] for row in rows]
        self.states = [self.states[row] for row in rows]
        self._observations = self._observations[list(rows)]
        self.given_up = self.given_up[list(rows)]

    def _noise(self, updates: Sequence[int]) -> Tensor:
        """[T, R, N, ...]: each run's noise drawn by itself, then stacked."""
        shape = (self.rollout_steps, self.env.num_envs)
        draws = [
            self.model.family.noise(shape, generator(seed, "action", update))
            for seed, update in zip(self.seeds, updates, strict=True)
        ]
        return torch.stack(draws, 1)

    def _begin(self) -> Record:
        return Record(Ongoing(self.states))

    def _step(self, record: Record, actions: Array, outputs: Array) -> Step:
        """Takes the actions [R, N, ...] that a policy with these outputs chose, and books what came of it."""
        step = self.env.step(actions.reshape(*actions.shape[:2], *self.env.spec.action.shape))
        record.observations.append(self._observations)
        record.actions.append(actions)
        record.outputs.append(outputs)
        record.steps.append(step)
        self._observations = self._advance(record.ongoing, step)
        return step

    def _end(self, record: Record) -> tuple[Rollout, list[Episodes]]:
        """The rollout that was booked, and the episodes that ended in it."""
        actions = _stack(record.actions)
        history = actions.reshape(*actions.shape[:3], *self.env.spec.action.shape).cpu().numpy()
        self.states = record.ongoing.states(self.states, history, self._observations, self.replay_limit)
        successors, *outcomes = (_stack(part) for part in zip(*record.steps, strict=True))
        counted = self._counted(outcomes[1] | outcomes[2])
        parts = (_stack(record.observations), actions, *outcomes, successors, _stack(record.outputs), counted)
        return Rollout(*(part.to(self.device) for part in parts)), record.ongoing.ended

    def _counted(self, ended: Tensor) -> Tensor:
        """Which steps [T, R, N] belong to episodes that count."""
        if not self.whole_episodes:
            return torch.ones_like(ended)
        return segments(ended, self.env.spec.max_episode_steps).counted

    def _advance(self, ongoing: Ongoing, step: Step) -> Array:
        """Books the step and begins the next episode where one ended; the observations to act on next."""
        ended = step.terminated | step.truncated
        ongoing.add(step.rewards)
        if not ended.any():
            return step.observations
        ongoing.end(ended)
        return self.env.reset(self._starts(ongoing, ended), ended)

    def _starts(self, ongoing: Ongoing, where: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        """The seeds [R, N] of the episodes that are next."""
        starts = np.zeros(where.shape, np.int64)
        for r, n in np.argwhere(where).tolist():
            starts[r, n] = episode_seed(self.seeds[r], n, int(ongoing.episodes[r, n]))
        return starts


class Record:
    """A rollout in the making, step by step: arrays, or tensors where a device holds them."""

    def __init__(self, ongoing: Ongoing) -> None:
        self.ongoing = ongoing
        self.observations: list[Array | Tensor] = []
        self.actions: list[Array | Tensor] = []
        self.outputs: list[Array | Tensor] = []
        self.steps: list[tuple[Array | Tensor, Array, Array, Array]] = []
        """As `Step`."""


def _stack(parts: Sequence[Array | Tensor]) -> Tensor:
    """[T, ...], where the parts are."""
    if isinstance(parts[0], Tensor):
        return torch.stack([part for part in parts if isinstance(part, Tensor)])
    return torch.from_numpy(np.stack(parts))


class Ongoing:
    """The unfinished episodes of R x N environments during a rollout."""

    def __init__(self, states: Sequence[CollectorState]) -> None:
        self.episodes = np.stack([state.episodes for state in states])
        self.lengths = np.stack([state.lengths for state in states])
        self.returns = np.stack([state.returns for state in states])
        self.ended = [Episodes([], []) for _ in states]

    def add(self, rewards: npt.NDArray[np.float64]) -> None:
        """One step further, everywhere."""
        self.returns += rewards
        self.lengths += 1

    def end(self, ended: npt.NDArray[np.bool_]) -> None:
        """Books the episodes that ended, and goes on to the next."""
        for r, n in np.argwhere(ended).tolist():
            self.ended[r].returns.append(float(self.returns[r, n]))
            self.ended[r].lengths.append(int(self.lengths[r, n]))
        self.leave(ended)

    def leave_unfinished(self) -> npt.NDArray[np.bool_]:
        """On to the next episode wherever one has begun; where that is, [R, N]."""
        unfinished = self.lengths > 0
        self.leave(unfinished)
        return unfinished

    def leave(self, where: npt.NDArray[np.bool_]) -> None:
        """On to the next episode, whether or not the last one has ended."""
        self.episodes[where] += 1
        self.lengths[where] = 0
        self.returns[where] = 0.0

    def states(
        self, before: Sequence[CollectorState], actions: Array, observations: Array, limit: int
    ) -> list[CollectorState]:
        """The states after a rollout of `actions` [T, R, N, ...] that ended in `observations`."""
        found = []
        for row, state in enumerate(before):
            lengths = self.lengths[row]
            kept = int(min(lengths.max(), limit))
            history = np.concatenate((state.history, actions[:, row]))
            found.append(
                CollectorState(
                    episodes=self.episodes[row],
                    lengths=lengths,
                    returns=self.returns[row],
                    recent=np.concatenate((state.recent, self.ended[row].returns))[-RECENT:],
                    history=history[len(history) - kept :],
                    observations=observations[row],
                )
            )
        return found
