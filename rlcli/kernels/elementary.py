"""Elementary functions of arrays as the kernels compute them: the same bits on every processor."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rlcli.kernels import library

NAMES = ("exp", "expm1", "log", "log1p", "tanh", "erf")
_SUFFIXES = {np.dtype(np.float32): "f", np.dtype(np.float64): "d"}


def elementary(name: str, values: npt.NDArray[Any], isa: str | None = None) -> npt.NDArray[Any]:
    """exp, expm1, log, log1p, tanh or erf of every value, float32 or float64; `isa` as `function` has."""
    if name not in NAMES or values.dtype not in _SUFFIXES:
        raise ValueError(f"no kernel {name} of {values.dtype}")
    given = np.ascontiguousarray(values)
    made = np.empty_like(given)
    call = library.function(
        f"{name}_{_SUFFIXES[values.dtype]}", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, isa=isa
    )
    call(given.ctypes.data, made.ctypes.data, given.size)
    return made


def exp(values: Tensor) -> Tensor:
    """exp of every value of a float32 or float64 tensor."""
    return torch.from_numpy(elementary("exp", values.numpy()))
