"""Permutations of a batch into minibatches, drawn in C.

Shapes: R runs, B samples. Those of `learner.draws` have the same seeds, but other numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import Array, c_long, c_uint64

import torch
from torch import Tensor

from rlcli.kernels.arguments import POINTER
from rlcli.kernels.library import function
from rlcli.maths.draws import derive

MOST = 2**32 - 1
"""Samples that one permutation can have."""


def permutation(
    seeds: Sequence[int], updates: Sequence[int], epoch: int, samples: int, stream: str = "permutation"
) -> Tensor:
    """Each run's order of its samples in one epoch, [R, B] int64."""
    _check_count("samples", samples)
    order = torch.empty(len(seeds), samples, dtype=torch.int64)
    derived = _seeds(seeds, updates, epoch, stream)
    function("permutations", c_long, c_long, POINTER, POINTER)(len(seeds), samples, derived, order.data_ptr())
    return order


def _seeds(seeds: Sequence[int], updates: Sequence[int], epoch: int, stream: str) -> Array[c_uint64]:
    """[R]."""
    pairs = zip(seeds, updates, strict=True)
    return (c_uint64 * len(seeds))(*(derive(seed, stream, update, epoch) for seed, update in pairs))


def _check_count(name: str, count: int) -> None:
    if not 0 <= count <= MOST:
        raise ValueError(f"{name}: expected 0 to {MOST}, got {count}")
