"""What numpy's generators draw first, for many seeds at once (seeds.h).

Shapes: K seeds, D numbers drawn for each.
"""

from __future__ import annotations

from ctypes import c_int64, c_void_p

import numpy as np
import numpy.typing as npt

from rlcli.kernels.library import available, function

Doubles = npt.NDArray[np.float64]

MOST = 8
"""Numbers that C draws for one seed."""


def covers(width: int) -> bool:
    """Whether there is a library, and it draws so many numbers for a seed."""
    return bool(available()) and width <= MOST


def uniform(seeds: npt.NDArray[np.int64], low: Doubles, high: Doubles, isa: str | None = None) -> Doubles:
    """`[D, K]`: what `np.random.default_rng(seed).uniform(low, high)` gives, with bounds `[D]`.

    Seeds `[K]` lie in 0 .. 2**32 - 1.

    Raises:
        ValueError: the bounds are of different shapes, or too many.
    """
    if low.ndim != 1 or low.shape != high.shape or len(low) > MOST:
        raise ValueError(
            f"bounds must be two of the same {MOST} numbers at most, not {low.shape}, {high.shape}"
        )
    seeds, low, high = (
        np.ascontiguousarray(seeds, np.int64),
        np.ascontiguousarray(low, np.float64),
        np.ascontiguousarray(high, np.float64),
    )
    drawn = np.empty((len(low), seeds.size))
    places = (low.ctypes.data, high.ctypes.data, drawn.ctypes.data)
    types = (c_int64, c_void_p, c_int64, *(c_void_p,) * 3)
    function("uniform_of_seeds", *types, isa=isa)(seeds.size, seeds.ctypes.data, len(low), *places)
    return drawn
