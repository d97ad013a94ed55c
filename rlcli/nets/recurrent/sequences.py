"""Rows of a batch as steps in time, and where state is forgotten.

Shapes: T steps of N sequences, B = T N rows, time-major; K trunks, M numbers of state.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Sequences(NamedTuple):
    """How B rows are N sequences of T steps."""

    keep: Tensor
    """[T, 1, N, 1]: what the state before a row is multiplied by, 0 where an episode begins, 1 elsewhere."""
    forgets: list[bool]
    """[T]: whether an episode begins at the step in any sequence; elsewhere there is nothing to multiply."""

    def steps(self, rows: Tensor) -> Tensor:
        """[B, ...] -> [T, N, ...]."""
        return rows.view(len(self.forgets), -1, *rows.shape[1:])

    def entering(self, first: Tensor, after: Tensor) -> Tensor:
        """State [T, K, N, M] that each step was made with, by the first [K, N, M] and those after steps."""
        return torch.cat((first.unsqueeze(0), after[:-1])) * self.keep


def sequences(state: Tensor, begins: Tensor | None) -> Sequences:
    """Of rows that begin an episode where `begins` [B] says so, in sequences that start with `state` [N, M].

    Without `begins` every sequence is of one row.
    """
    count = len(state)
    if begins is None:
        return Sequences(state.new_ones(1, 1, count, 1), [False])
    first = begins.view(-1, count)
    return Sequences((~first).view(-1, 1, count, 1).to(state.dtype), first.any(1).tolist())


def by_products(by_outputs: Tensor, inputs: Tensor) -> Tensor:
    """The gradient [K, G, W] of weights by that of their products [T, K, N, G] with inputs [T, K, N, W]."""
    outer, inner = (field.transpose(0, 1).flatten(1, 2) for field in (by_outputs, inputs))
    return outer.mT @ inner
