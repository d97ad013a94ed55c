"""Recurrent state beside the rows of a batch, and rows as pieces of episodes.

A batch of N sequences is time-major: row t N + n is step t of sequence n. Shapes: R runs, N sequences of T
rows, B = T N rows, M numbers of state, E pieces, L rows of the longest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Memory(NamedTuple):
    """What a network with memory reads beside the rows."""

    state: Tensor
    """[R, N, M]: before the first row of each sequence."""
    begins: Tensor | None = None
    """[R, B]: rows that are the first of an episode, whose state is 0; None: sequences are of one row each."""

    def map(self, sequences: Callable[[Tensor], Tensor], rows: Callable[[Tensor], Tensor]) -> Memory:
        """`sequences` applied to what there is one of a sequence, `rows` to what there is one of a row."""
        return Memory(sequences(self.state), None if self.begins is None else rows(self.begins))

    def of(self, runs: slice) -> Memory:
        """That of these runs alone."""
        return self.map(lambda state: state[runs], lambda begins: begins[runs])

    def double(self) -> Memory:
        """With its state in float64."""
        return self._replace(state=self.state.double())


class Pieces(NamedTuple):
    """One run's rows cut where episodes begin, in the order of torch's packed sequences.

    First come the first rows of all pieces, then their second rows and so on; longer pieces before shorter.
    """

    order: Tensor
    """[B] int64: the row at each place of the packed order."""
    places: Tensor
    """[B] int64: the place of each row, the inverse of `order`."""
    sizes: Tensor
    """[L] int64, on the CPU: how many pieces have a first row, a second, ..."""
    carried: Tensor
    """[E, 1]: whether the piece carries on the state its sequence starts with, instead of 0."""
    sequences: Tensor
    """[E] int64: the sequence of each piece."""
    lasts: Tensor
    """[E] int64: the last row of each piece."""

    def initial(self, state: Tensor) -> Tensor:
        """The state [E, M] that pieces begin with, of sequences that start with `state` [N, M]."""
        return torch.where(self.carried, state.index_select(0, self.sequences), 0.0)

    def at_lasts(self, final: Tensor) -> Tensor:
        """States [E, M] after pieces as [B, M]: each at the last row of its piece, 0 elsewhere."""
        room = final.new_zeros(len(self.order), final.shape[1])
        return room.index_copy(0, self.lasts, final)


def pieces(state: Tensor, begins: Tensor | None) -> Pieces:
    """The pieces of sequences that start with `state` [N, M], by the rows [B] that begin an episode.

    None: the sequences are of one row each.
    """
    sequences = len(state)
    if begins is None:
        rows = torch.arange(sequences, device=state.device)
        carried = torch.ones_like(rows, dtype=torch.bool).unsqueeze(1)
        return Pieces(rows, rows, torch.tensor([sequences], device="cpu"), carried, rows, rows)
    steps = len(begins) // sequences
    first = begins.view(steps, sequences).clone()
    first[0] = True
    # Sequence by sequence, so that a piece is a range.
    first = first.T.flatten()
    starts = first.nonzero().squeeze(1)
    piece, count = first.cumsum(0) - 1, len(starts)
    depth = torch.arange(len(first), device=first.device) - starts[piece]
    lengths = piece.bincount(minlength=count)
    longest_first = lengths.argsort(descending=True, stable=True)
    rank = torch.empty_like(longest_first)
    rank[longest_first] = torch.arange(count, device=first.device)

    def row(place: Tensor) -> Tensor:
        return place % steps * sequences + place // steps

    order = row((depth * count + rank[piece]).argsort())
    places = torch.empty_like(order)
    places[order] = torch.arange(len(order), device=order.device)
    heads = order[:count]
    return Pieces(
        order,
        places,
        depth.bincount().cpu(),
        ~begins[heads].unsqueeze(1),
        heads % sequences,
        row((starts + lengths - 1)[longest_first]),
    )
