"""Checks of the tensors that kernels are given: C reads where it is told to, so type and shape must hold."""

from __future__ import annotations

from ctypes import addressof, c_char, c_void_p
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

POINTER: Any = c_void_p
"""The type of an argument that is a tensor's address."""


def pointer(name: str, tensor: Tensor, dtype: torch.dtype, shape: tuple[int, ...]) -> int:
    """The address of a contiguous CPU tensor of this type and shape.

    ValueError, with the argument's name: it is another.
    """
    if tensor.dtype == dtype and tensor.shape == shape and tensor.is_contiguous() and tensor.is_cpu:
        return tensor.data_ptr()
    raise ValueError(
        f"{name}: expected a contiguous CPU tensor of {dtype} {list(shape)}, got {tensor.dtype} "
        f"{list(tensor.shape)} on {tensor.device}{'' if tensor.is_contiguous() else ', not contiguous'}"
    )


def optional(name: str, tensor: Tensor | None, dtype: torch.dtype, shape: tuple[int, ...]) -> int | None:
    """As `pointer`; None where there is no tensor."""
    return None if tensor is None else pointer(name, tensor, dtype, shape)


def rows(name: str, tensor: Tensor, dtype: torch.dtype, shape: tuple[int, int]) -> tuple[int, int]:
    """The address of [R, P] whose rows are each contiguous, and the step from row to row.

    ValueError, with the argument's name: it is another.
    """
    by_rows = tensor.shape == shape and (shape[1] <= 1 or tensor.stride(1) == 1)
    if tensor.dtype == dtype and by_rows and tensor.is_cpu:
        return tensor.data_ptr(), tensor.stride(0)
    raise ValueError(
        f"{name}: expected a CPU tensor of {dtype} {list(shape)} by rows, got {tensor.dtype} "
        f"{list(tensor.shape)} on {tensor.device}"
    )


def place(array: npt.NDArray[Any]) -> int:
    """The address of a contiguous numpy array."""
    # Several times as fast as `array.ctypes.data`, for what can be written to.
    buffer: Any = array
    writeable = array.flags.writeable and array.size
    return addressof(c_char.from_buffer(buffer)) if writeable else int(array.ctypes.data)


def address(name: str, array: npt.NDArray[Any], dtype: Any, shape: tuple[int, ...]) -> int:
    """The address of a contiguous numpy array of this type and shape.

    ValueError, with the argument's name: it is another.
    """
    if array.dtype == dtype and array.shape == shape and array.flags.c_contiguous:
        return place(array)
    raise ValueError(
        f"{name}: expected a contiguous array of {np.dtype(dtype)} {list(shape)}, got {array.dtype} "
        f"{list(array.shape)}{'' if array.flags.c_contiguous else ', not contiguous'}"
    )
