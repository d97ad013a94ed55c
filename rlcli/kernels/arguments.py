"""Checks of what C is given, since C cannot check it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


def pointer(tensor: Tensor | None, dtype: torch.dtype, shape: Sequence[int], name: str) -> int | None:
    """The address of a contiguous tensor on the host of this type and shape; None for none.

    Raises:
        ValueError: it is another; the message has its name.
    """
    if tensor is None:
        return None
    if tensor.dtype is not dtype or tensor.shape != tuple(shape) or not tensor.is_contiguous():
        raise ValueError(
            f"{name} must be {dtype} {tuple(shape)}, contiguous, not {tensor.dtype} {tuple(tensor.shape)}"
        )
    if tensor.device.type != "cpu":
        raise ValueError(f"{name} must be on the host, not on {tensor.device}")
    return tensor.data_ptr()


def rows(tensor: Tensor, dtype: torch.dtype, shape: tuple[int, int], name: str) -> tuple[int, int]:
    """The address of [R, P] whose rows are contiguous, and the step from row to row.

    Raises:
        ValueError: it is another.
    """
    if tensor.dtype is not dtype or tensor.shape != shape or (shape[1] > 1 and tensor.stride(1) != 1):
        raise ValueError(f"{name} must be {dtype} {shape} by rows, not {tensor.dtype} {tuple(tensor.shape)}")
    if tensor.device.type != "cpu":
        raise ValueError(f"{name} must be on the host, not on {tensor.device}")
    return tensor.data_ptr(), tensor.stride(0)


def address(array: npt.NDArray[Any], dtype: Any, shape: Sequence[int], name: str) -> int:
    """The address of a contiguous numpy array of this type and shape.

    Raises:
        ValueError: it is another.
    """
    if array.dtype != dtype or array.shape != tuple(shape) or not array.flags.c_contiguous:
        raise ValueError(
            f"{name} must be {np.dtype(dtype)} {tuple(shape)}, contiguous, not {array.dtype} {array.shape}"
        )
    return int(array.ctypes.data)
