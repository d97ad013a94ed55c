"""Rollouts: T steps of R x N environments under R policies.

Shapes: T time, R runs, N environments of one run, D policy outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


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
