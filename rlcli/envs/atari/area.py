"""Resizing of frames by the mean of the area that each new pixel covers, as OpenCV's INTER_AREA rounds it.

ale-py's vector environment resizes so; single games must give the same bytes, without OpenCV.

Shapes: S pixels along an axis, D after resizing, K pixels that a new one covers at most.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

SLIVER = 1e-3
"""Parts of a pixel that are left out."""


def resized(frame: Pixels, height: int, width: int) -> Pixels:
    """A frame [S, S', ...] as [height, width, ...]; not larger than it was.

    Columns first, then rows, in float32 and in the order of the pixels; halves round to even.
    """
    if frame.shape[:2] == (height, width):
        return frame
    columns = _weighed(frame.astype(np.float32), width, axis=1)
    found: Pixels = np.rint(_weighed(columns, height, axis=0)).astype(np.uint8)
    return found


def _weighed(values: Floats, size: int, axis: int) -> Floats:
    """Weighted sums along an axis, one pixel after the other."""
    places, weights = _taps(values.shape[axis], size)
    shape = [1] * values.ndim
    shape[axis] = size
    total: Floats = np.zeros_like(np.take(values, places[0], axis))
    for place, weight in zip(places, weights, strict=True):
        total += np.take(values, place, axis) * weight.reshape(shape)
    return total


@functools.cache
def _taps(before: int, after: int) -> tuple[npt.NDArray[np.int64], Floats]:
    """Places [K, D] of the pixels that each new one covers, and their shares of it."""
    scale = before / after
    rows = [_covered(index * scale, scale, before) for index in range(after)]
    most = max(map(len, rows))
    places = np.zeros((most, after), np.int64)
    weights = np.zeros((most, after), np.float32)
    for index, row in enumerate(rows):
        for number, (place, share) in enumerate(row):
            places[number, index], weights[number, index] = place, share
    return places, weights


def _covered(first: float, scale: float, size: int) -> list[tuple[int, float]]:
    """Pixels that first .. first + scale covers, with the share of each."""
    last, extent = first + scale, min(scale, size - first)
    end = min(math.floor(last), size - 1)
    begin = min(math.ceil(first), end)
    found = [(begin - 1, (begin - first) / extent)] if begin - first > SLIVER else []
    found += [(place, 1.0 / extent) for place in range(begin, end)]
    if last - end > SLIVER:
        found.append((end, min(last - end, 1.0, extent) / extent))
    return found
