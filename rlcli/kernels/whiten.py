"""Whitening of advantages in C.

Shapes: B samples. Stands for `maths.estimators.whiten` in float32, with
sums in float64; its results are the nearest floats, or next to them.
"""

from __future__ import annotations

from ctypes import c_long

import torch
from torch import Tensor

from rlcli.kernels.arguments import POINTER, pointer
from rlcli.kernels.library import function


def whiten(advantages: Tensor) -> Tensor:
    """Zero mean and unit population deviation over the last axis of float32 [..., B].

    The divisor is max(std, 1e-8); where std is at most 1e-6 of the root mean square the result is zero.
    """
    values = advantages.contiguous()
    out = torch.empty_like(values)
    count = values.shape[-1]
    if count == 0:
        raise ValueError(f"advantages: expected samples, got {list(advantages.shape)}")
    function("whiten", c_long, c_long, POINTER, POINTER)(
        values.numel() // count,
        count,
        pointer("advantages", values, torch.float32, values.shape),
        out.data_ptr(),
    )
    return out
