"""Permutations of a batch into minibatches, drawn in C, each from a seed of its own.

Shapes: T time, N environments of one run, R runs, B = T N samples, M minibatches. They stand for those of
`learner.draws`; from the same seeds come other numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import c_long

import torch
from torch import Tensor

from rlcli.kernels.arguments import POINTER
from rlcli.kernels.library import function

MOST = 2**32 - 1
"""Samples that one permutation can have."""


def permutations(seeds: Sequence[int], samples: int) -> Tensor:
    """Orders [R, B] int64 of B samples, from seeds in [0, 2^63) that `maths.draws.derive` gives."""
    _check("samples", samples)
    order = torch.empty(len(seeds), samples, dtype=torch.int64)
    given = torch.tensor(seeds, dtype=torch.int64)
    function("permutations", c_long, c_long, POINTER, POINTER)(
        len(seeds), samples, given.data_ptr(), order.data_ptr()
    )
    return order


def sequences(seeds: Sequence[int], steps: int, envs: int, parts: int) -> Tensor:
    """As `permutations`, of whole environments: each of the M parts of [R, B] has N / M of them.

    Within a part samples are time-major, [T, N / M].
    """
    _check("envs", envs)
    _check("steps", steps)
    if parts < 1 or envs % parts:
        raise ValueError(f"parts: expected a divisor of {envs} environments, got {parts}")
    chosen = torch.empty(envs, dtype=torch.int64)
    order = torch.empty(len(seeds), steps * envs, dtype=torch.int64)
    given = torch.tensor(seeds, dtype=torch.int64)
    function("sequences", c_long, c_long, c_long, c_long, POINTER, POINTER, POINTER)(
        len(seeds), parts, steps, envs, given.data_ptr(), chosen.data_ptr(), order.data_ptr()
    )
    return order


def _check(name: str, count: int) -> None:
    if not 0 <= count <= MOST:
        raise ValueError(f"{name}: expected 0 to {MOST}, got {count}")
