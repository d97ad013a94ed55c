"""Pareto k-hat of importance weights in C: `maths.pareto.khat`, of all runs in one call.

Shapes: R runs, B samples.
"""

from __future__ import annotations

from ctypes import c_int, c_int64

import torch
from torch import Tensor

from rlcli.kernels.arguments import POINTER, pointer
from rlcli.kernels.library import function


def khat(log_weights: Tensor) -> Tensor:
    """The shape [R] of the tail of weights exp(log_weights), float64 [R, B]; NaN where there is none."""
    runs, samples = log_weights.shape
    shape = torch.empty(runs, dtype=torch.float64)
    function("khat", c_int64, c_int64, POINTER, POINTER, result=c_int)(
        runs,
        samples,
        pointer("log_weights", log_weights, torch.float64, (runs, samples)),
        shape.data_ptr(),
    )
    return shape
