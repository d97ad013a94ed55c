"""Arithmetic of axes: labels that do not overlap, positions of ticks, the choice of a logarithmic axis."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from rlcli.analysis.history import Array

UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Positions nearest to the wanted ones, in the same order, at least `gap` apart, between two bounds.

    Of all such positions they have the smallest sum of squared moves, bounds aside. Where the room is too
    small for all gaps, the positions divide it evenly.
    """
    count = len(wanted)
    order = sorted(range(count), key=lambda place: (wanted[place], place))
    if count > 1 and gap * (count - 1) > high - low:
        gap = (high - low) / (count - 1)
    # Without the gaps before it, position i must not lie below i - 1: an isotonic regression, by pooling.
    pools: list[tuple[float, int]] = []
    for rank, place in enumerate(order):
        total, size = wanted[place] - rank * gap, 1
        while pools and pools[-1][0] / pools[-1][1] > total / size:
            before = pools.pop()
            total, size = total + before[0], size + before[1]
        pools.append((total, size))
    bases = [total / size for total, size in pools for _ in range(size)]
    room = high - gap * (count - 1)
    found = [0.0] * count
    for rank, (place, base) in enumerate(zip(order, bases, strict=True)):
        found[place] = min(max(base, low), max(room, low)) + rank * gap
    return found


def is_logarithmic(values: Array) -> bool:
    """Whether positive values are spread more evenly on a logarithmic axis, over a decade at least."""
    low, high = float(np.min(values)), float(np.max(values))
    if low <= 0 or high < 10 * low:
        return False
    middle = float(np.median(values))
    linear = (middle - low) / (high - low)
    logarithmic = math.log(middle / low) / math.log(high / low)
    return abs(logarithmic - 0.5) < abs(linear - 0.5)


def ticks(low: float, high: float, most: int) -> list[float]:
    """At most `most` round positions within a range: multiples of 1, 2 or 5 times a power of ten."""
    if not high > low:
        return [low]
    step = 10.0 ** math.floor(math.log10((high - low) / most))
    while True:
        for factor in (1.0, 2.0, 5.0, 10.0):
            first, last = math.ceil(low / (step * factor) - 1e-9), math.floor(high / (step * factor) + 1e-9)
            if last - first < most:
                return [place * step * factor for place in range(first, last + 1)]
        step *= 10.0


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """At most `most` powers of ten within a range; 2 and 5 times them too where there are fewer than two."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    stride = max(1, math.ceil((last - first + 1) / most))
    powers = [10.0**place for place in range(first, last + 1, stride)]
    if len(powers) > 1:
        return powers
    every = [factor * 10.0**place for place in range(first - 1, last + 1) for factor in (1, 2, 5)]
    return [value for value in every if low <= value <= high][:most] or [low]


def labels(places: Sequence[float]) -> list[str]:
    """Ticks in few characters, large ones all in the unit of the largest: 0, 5k, 10k; 0.05; 1e-4."""
    largest = max(map(abs, places), default=0.0)
    if largest < 1e4:
        return [short(place) for place in places]
    unit, letter = next((unit, letter) for unit, letter in UNITS if largest >= unit)
    return [f"{place / unit:.4g}{letter}" if place else "0" for place in places]


def short(value: float) -> str:
    """A number in few characters: 0, 0.05, 250, 50k, 1.5M, 1e-4."""
    size = abs(value)
    if size >= 1e4:
        return labels([value])[0]
    if 0 < size < 1e-3:
        digits, _, power = f"{value:.1e}".partition("e")
        return f"{digits.removesuffix('.0')}e{int(power)}"
    return f"{value:.4g}"


def bounds(values: Sequence[Array], margin: float = 0.04) -> tuple[float, float]:
    """A range around all values; around a constant one of its own size, around none from 0 to 1."""
    there = [value for value in values if len(value)]
    if not there:
        return 0.0, 1.0
    low, high = min(float(np.min(one)) for one in there), max(float(np.max(one)) for one in there)
    beyond = margin * (high - low) if high > low else 0.5 * abs(high) or 0.5
    return low - beyond, high + beyond
