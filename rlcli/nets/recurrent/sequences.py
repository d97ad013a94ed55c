"""Rows of a batch as steps in time, and where state is forgotten.

Shapes: T steps of N sequences, B = T N rows, time-major; M numbers of state.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Sequences(NamedTuple):
    """How B rows are N sequences of T steps."""

    keep: Tensor
    """[T, N, 1]: 0 where an episode begins, 1 elsewhere, what the state before the row is multiplied by."""
    forgets: list[bool]
    """[T]: whether an episode begins at the step in any sequence; elsewhere there is nothing to multiply."""

    def steps(self, rows: Tensor) -> Tensor:
        """[B, ...] -> [T, N, ...]."""
        return rows.view(*self.keep.shape[:2], *rows.shape[1:])

    def entering(self, first: Tensor, after: Tensor) -> Tensor:
        """State [T, N, M] that each step was made with, by that at the start [N, M] and after each step."""
        return torch.cat((first.unsqueeze(0), after[:-1])) * self.keep


def sequences(state: Tensor, begins: Tensor | None) -> Sequences:
    """Of rows that begin an episode where `begins` [B] says so, in sequences that start with `state` [N, M].

    Without `begins` every sequence is of one row.
    """
    count = len(state)
    if begins is None:
        return Sequences(state.new_ones(1, count, 1), [False])
    first = begins.view(-1, count)
    return Sequences((~first).unsqueeze(-1).to(state.dtype), first.any(1).tolist())
