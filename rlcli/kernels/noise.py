"""Noise that policies act by, each run's from a stream of its own (philox.h).

Shapes: T steps, R runs, C numbers of one step.
"""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import c_int64, c_uint64, c_void_p

import torch
from torch import Tensor

from rlcli.kernels.library import function

KINDS = ("gumbel", "normal", "logistic")
"""In the order of philox.h."""
MAX_SEED = 2**64 - 1


def noise(kind: str, seeds: Sequence[int], steps: int, count: int, isa: str | None = None) -> Tensor:
    """Float32 noise [T, R, C], run r's from the stream of `seeds[r]`, whatever the other runs.

    Raises:
        ValueError: a seed is not in 0 .. 2^64 - 1, or a size is negative.
    """
    if not all(0 <= seed <= MAX_SEED for seed in seeds) or steps < 0 or count < 0:
        raise ValueError(f"no noise of {steps} steps of {count} numbers for the seeds {list(seeds)}")
    keys = (c_uint64 * len(seeds))(*seeds)
    made = torch.empty(steps, len(keys), count)
    types = (c_int64, c_int64, c_void_p, c_int64, c_int64, c_void_p)
    function("noise", *types, isa=isa)(KINDS.index(kind), len(keys), keys, steps, count, made.data_ptr())
    return made
