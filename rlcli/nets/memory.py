"""Recurrent state beside the rows of a batch.

A batch of N sequences is time-major: row t N + n is step t of sequence n. Shapes: R runs, N sequences of T
rows, B = T N rows, M numbers of state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor


class Memory(NamedTuple):
    """What a network with memory reads beside the rows."""

    state: Tensor
    """[R, N, M]: before the first row of each sequence."""
    begins: Tensor | None = None
    """[R, B]: rows that begin an episode, before which the state is 0; None: sequences have one row each."""

    def map(self, sequences: Callable[[Tensor], Tensor], rows: Callable[[Tensor], Tensor]) -> Memory:
        """`sequences` applied to what there is one of a sequence, `rows` to what there is one of a row."""
        return Memory(sequences(self.state), None if self.begins is None else rows(self.begins))

    def of(self, runs: slice) -> Memory:
        """That of these runs alone."""
        return self.map(lambda state: state[runs], lambda begins: begins[runs])

    def double(self) -> Memory:
        """With its state in float64."""
        return self._replace(state=self.state.double())
