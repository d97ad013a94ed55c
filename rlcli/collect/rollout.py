"""Rollouts: T steps of R x N environments under R policies.

Shapes: T time, R runs, N environments of one run, D policy outputs. Only the actor runs inside the stepping
loop, on noise drawn once a rollout; values and log-probabilities follow later, in one batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rlcli.collect.state import RECENT, CollectorState, episode_seed, restore
from rlcli.envs.interface import Step, VectorEnv
from rlcli.maths.draws import generator
from rlcli.maths.segments import segments
from rlcli.nets.actor import Actor
from rlcli.nets.policy import Model, Snapshot

Array = npt.NDArray[Any]

REPORT_EVERY = 0.25
"""Minimum seconds between two reports of a rollout's progress; its end is always reported."""


class Finals(NamedTuple):
    """Final observations of episodes that ended in a rollout, whose next row is the first of another episode.

    Shapes: E of them.
    """

    places: Tensor
    """[E, 3] int64: step, run and environment."""
    observations: Tensor
    """[E, ...], raw."""


class Rollout(NamedTuple):
    """The experience of R runs, each observation stored once; tensors on the learner's device."""

    observations: Tensor
    """[T + 1, R, N, ...], raw, in their own dtype: before each step, and after the last."""
    finals: Finals
    actions: Tensor
    """[T, R, N] or [T, R, N, A], raw: not clipped to bounds."""
    rewards: Tensor
    """[T, R, N] float64: raw, or what an environment gives to learn from instead."""
    terminated: Tensor
    """[T, R, N]: no reward is to come; the episode may go on where a lost life ends what is learnt."""
    truncated: Tensor
    """[T, R, N]."""
    outputs: Tensor
    """[T, R, N, D]: the policy head's outputs while acting."""
    counted: Tensor
    """[T, R, N]: whether the step's episode counts, as not all do where whole ones are asked for."""
    memory: Tensor | None = None
    """[R, N, M]: recurrent state before the first step; None: the network has none."""

    @property
    def acted_on(self) -> Tensor:
        """[T, R, N, ...]: the observation that each action was chosen at."""
        return self.observations[:-1]

    @property
    def begins(self) -> Tensor:
        """[T, R, N]: whether an episode that began within the rollout has its first step here."""
        ended = self.terminated | self.truncated
        return torch.cat((torch.zeros_like(ended[:1]), ended[:-1]))

    def successors(self) -> Tensor:
        """[T, R, N, ...]: what each step led to, the final observation where an episode ended."""
        found = self.observations[1:].clone()
        found[self.finals.places.unbind(1)] = self.finals.observations
        return found

    def part(self, places: slice) -> Rollout:
        """Of these environments alone, without final observations."""
        parts = {
            name: part[:, :, places]
            for name, part in self._asdict().items()
            if isinstance(part, Tensor) and name != "memory"
        }
        finals = Finals(*(part[:0] for part in self.finals))
        memory = None if self.memory is None else self.memory[:, places].contiguous()
        return self._replace(finals=finals, memory=memory, **parts)

    @classmethod
    def joined(cls, rollouts: Sequence[Rollout]) -> Rollout:
        """Rollouts side by side: the environments of the first come first."""
        if len(rollouts) == 1:
            return rollouts[0]
        first = rollouts[0]
        parts = {
            name: torch.cat([one._asdict()[name] for one in rollouts], 1 if name == "memory" else 2)
            for name, part in first._asdict().items()
            if isinstance(part, Tensor)
        }
        width = first.actions.shape[2]
        shift = torch.tensor([0, 0, width])
        places = [one.finals.places + shift * number for number, one in enumerate(rollouts)]
        finals = Finals(torch.cat(places), torch.cat([one.finals.observations for one in rollouts]))
        return first._replace(finals=finals, **parts)

    def to(self, device: str) -> Rollout:
        """The rollout on a device."""
        finals = Finals(*(part.to(device) for part in self.finals))
        parts = {name: part.to(device) for name, part in self._asdict().items() if isinstance(part, Tensor)}
        return self._replace(finals=finals, **parts)


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
        self.states, self._observations, self.given_up = restore(
            env, self.seeds, states, model.network.memory_width
        )
        self._memory = _stacked_memory(self.states)
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
        actions = _stack(record.actions)
        history = actions.reshape(*actions.shape[:3], *self.env.spec.action.shape).cpu().numpy()
        self.states = record.ongoing.states(
            self.states, history, self._observations, self._memory, self.replay_limit
        )
        rewards, terminated, truncated = (_stack(part) for part in zip(*record.outcomes, strict=True))
        rollout = Rollout(
            _stack([*record.observations, self._observations if last is None else last]),
            record.finals(),
            actions,
            rewards,
            terminated,
            truncated,
            _stack(record.outputs),
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


class Record:
    """A rollout in the making, step by step: arrays, or tensors where they are on a device."""

    def __init__(self, ongoing: Ongoing, memory: Array | None) -> None:
        self.ongoing = ongoing
        self.memory = memory
        self.observations: list[Array | Tensor] = []
        self.actions: list[Array | Tensor] = []
        self.outputs: list[Array | Tensor] = []
        self.outcomes: list[tuple[Array | Tensor, ...]] = []
        """Rewards and both kinds of end of each step so far."""
        self._ends: list[tuple[int, npt.NDArray[np.bool_], Array | Tensor]] = []

    def end(self, where: npt.NDArray[np.bool_], observations: Array | Tensor) -> None:
        """Keeps the observations [R, N, ...] of the last step where the next row will not show them."""
        self._ends.append((len(self.outcomes) - 1, where, observations))

    def finals(self) -> Finals:
        """The observations kept by `end`."""
        if not self._ends:
            first = torch.as_tensor(self.observations[0])
            return Finals(torch.zeros(0, 3, dtype=torch.int64), first.new_zeros(0, *first.shape[2:]))
        steps, masks, shown = zip(*self._ends, strict=True)
        where = torch.from_numpy(np.stack(masks))
        places = where.nonzero()
        kept = _stack(shown)
        places[:, 0] = torch.tensor(steps)[places[:, 0]]
        return Finals(places, kept[where.to(kept.device)])


def _stack(parts: Sequence[Array | Tensor]) -> Tensor:
    """[T, ...], where the parts are."""
    if isinstance(parts[0], Tensor):
        return torch.stack([part for part in parts if isinstance(part, Tensor)])
    return torch.from_numpy(np.stack(parts))


def forgotten(memory: Array | None, where: npt.NDArray[np.bool_]) -> Array | None:
    """Recurrent state [R, N, M], zero where episodes ended (mask [R, N])."""
    return None if memory is None else np.where(where[..., None], np.float32(0.0), memory)


def _stacked_memory(states: Sequence[CollectorState]) -> Array | None:
    found = np.stack([state.memory for state in states])
    return found if found.shape[-1] else None


class Ongoing:
    """The unfinished episodes of R x N environments during a rollout."""

    def __init__(self, states: Sequence[CollectorState]) -> None:
        # Several times as fast as `np.stack` on a few rows.
        self.episodes = np.array([state.episodes for state in states])
        self.lengths = np.array([state.lengths for state in states])
        self.returns = np.array([state.returns for state in states])
        self.ended = [Episodes([], []) for _ in states]

    def add(self, rewards: npt.NDArray[np.float64]) -> None:
        """One step further, everywhere."""
        self.returns += rewards
        self.lengths += 1

    def end(self, ended: npt.NDArray[np.bool_]) -> None:
        """Records the episodes that ended and advances to the next."""
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
        self,
        before: Sequence[CollectorState],
        actions: Array,
        observations: Array,
        memory: Array | None,
        limit: int,
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
                    memory=state.memory if memory is None else memory[row],
                )
            )
        return found
