"""A rollout in the making, and the episodes that go on through it.

Shapes: T time, R runs, N environments of one run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rlcli.collect.rollout import Episodes, Finals
from rlcli.collect.state import RECENT, CollectorState

Array = npt.NDArray[Any]


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
        kept = stack(shown)
        places[:, 0] = torch.tensor(steps)[places[:, 0]]
        return Finals(places, kept[where.to(kept.device)])


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


def stack(parts: Sequence[Array | Tensor]) -> Tensor:
    """[T, ...], where the parts are."""
    if isinstance(parts[0], Tensor):
        return torch.stack([part for part in parts if isinstance(part, Tensor)])
    return torch.from_numpy(np.stack(parts))
