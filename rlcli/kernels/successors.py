"""Rows that successors' values are read from, in C: last observations and finals, and where they belong.

Shapes: T time, R runs, N environments of one run, B = T N samples, E episodes that ended, M most of one run.
"""

from __future__ import annotations

from ctypes import c_int64

import torch
from torch import Tensor

from rlcli.kernels.arguments import POINTER, pointer
from rlcli.kernels.library import function


class Finals:
    """The finals of a rollout, run by run."""

    def __init__(self, steps: int, runs: int, envs: int, places: Tensor) -> None:
        """`places` [E, 3] int64 are the step, run and environment of each.

        Raises:
            ValueError: one is outside the rollout.
        """
        self._steps, self._runs, self._envs, self._ended = steps, runs, envs, len(places)
        self._places, self._rank = places.contiguous(), torch.empty(len(places), dtype=torch.int64)
        counts = torch.empty(runs + 1, dtype=torch.int64)
        function("rank_finals", *(c_int64,) * 4, *(POINTER,) * 3)(
            steps, runs, envs, self._ended, *self._given(), counts.data_ptr(), self._rank.data_ptr()
        )
        self._most = int(counts[-1])
        if self._most < 0:
            raise ValueError(f"places: one is outside a rollout of {steps} x {runs} x {envs}")

    def rows(self, last: Tensor, finals: Tensor) -> Tensor:
        """[R, N + M, ...]: the last observations [R, N, ...], each run's finals [E, ...], and zeros."""
        shape = last.shape[2:]
        last, finals = last.contiguous(), finals.contiguous()
        found = last.new_empty(self._runs, self._envs + self._most, *shape)
        function("successor_rows", *(c_int64,) * 5, *(POINTER,) * 5)(
            self._runs,
            self._envs,
            self._most,
            shape.numel() * last.element_size(),
            self._ended,
            *self._given(),
            self._rank.data_ptr(),
            pointer("last", last, last.dtype, (self._runs, self._envs, *shape)),
            pointer("finals", finals, last.dtype, (self._ended, *shape)),
            found.data_ptr(),
        )
        return found

    def values(self, values: Tensor, others: Tensor) -> Tensor:
        """V of the successors [T, R, N], from that of all rows [R, B] and of `rows` [R, N + M]."""
        each, width = self._steps * self._envs, self._envs + self._most
        found = torch.empty(self._steps, self._runs, self._envs)
        function("successor_values", *(c_int64,) * 5, *(POINTER,) * 5)(
            self._steps,
            self._runs,
            self._envs,
            self._most,
            self._ended,
            *self._given(),
            self._rank.data_ptr(),
            pointer("values", values, torch.float32, (self._runs, each)),
            pointer("others", others, torch.float32, (self._runs, width)),
            found.data_ptr(),
        )
        return found

    def _given(self) -> tuple[int]:
        return (pointer("places", self._places, torch.int64, (self._ended, 3)),)
