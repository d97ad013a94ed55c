"""Arrays in memory that two processes share, without a name: nothing is left of it when both have ended."""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import tempfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Fields = Mapping[str, tuple[tuple[int, ...], npt.DTypeLike]]
"""Shape and type of each array, by its name."""

ALIGNED = 64
"""Bytes: the start of each array is a multiple, so that no two are in one line of the cache."""


class Shared:
    """Named arrays in one file without a name; who has its descriptor can map it too."""

    def __init__(self, fields: Fields, descriptor: int | None = None) -> None:
        """Maps the file of `descriptor`, which had the same fields; None: a new one, all zeros."""
        starts, size = {}, 0
        for name, (shape, dtype) in fields.items():
            starts[name] = size
            size += -(-math.prod(shape) * np.dtype(dtype).itemsize // ALIGNED) * ALIGNED
        self.descriptor = _unnamed(max(size, ALIGNED)) if descriptor is None else descriptor
        self._map = mmap.mmap(self.descriptor, max(size, ALIGNED))
        self.arrays: dict[str, Array] = {
            name: np.ndarray(shape, dtype, self._map, starts[name]) for name, (shape, dtype) in fields.items()
        }

    def __getitem__(self, name: str) -> Array:
        return self.arrays[name]

    def close(self) -> None:
        """Unmaps it, as soon as no array of it is in use any more."""
        self.arrays.clear()
        os.close(self.descriptor)
        with contextlib.suppress(BufferError):
            self._map.close()


def _unnamed(size: int) -> int:
    """Descriptor of a file of zeros without a name, in memory where the system can."""
    if hasattr(os, "memfd_create"):
        found = os.memfd_create("rlcli")
    else:
        with tempfile.TemporaryFile() as file:
            found = os.dup(file.fileno())
    os.ftruncate(found, size)
    return found
