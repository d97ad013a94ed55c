"""Curves of groups: the interquartile mean over seeds at equal positions, and its bootstrap band."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rlcli.analysis.history import Array, Axis, History
from rlcli.analysis.statistics import RESAMPLES, bands, iqm

POINTS = 200
"""Positions of a curve."""
ELEMENTS = 4_000_000
"""Maximum resampled values in memory at once."""


@dataclass(frozen=True)
class Curve:
    """A metric over a group of runs; arrays [K], one entry per position."""

    x: Array
    centre: Array
    """Interquartile mean over the runs that have values before and behind the position."""
    low: Array
    high: Array
    """Bounds of the 95% band; the centre itself where one run is there."""
    count: Array
    """Runs that are there. It falls towards the end where runs have different lengths."""


def curve(
    histories: Sequence[History], metric: str, axis: Axis, points: int = POINTS, resamples: int = RESAMPLES
) -> Curve | None:
    """The curve of a metric over runs; None where none has it.

    Between two values of a run, the line that connects them counts; beyond its first and last, the run does
    not.
    """
    lines = [line for history in histories if len((line := history.points(metric, axis))[0])]
    if not lines:
        return None
    grid = _grid([x for x, _ in lines], points)
    values = np.stack([np.interp(grid, x, y, left=np.nan, right=np.nan) for x, y in lines])
    count = np.isfinite(values).sum(axis=0)
    grid, values, count = grid[count > 0], values[:, count > 0], count[count > 0]
    centre, low, high = (np.empty(len(grid)) for _ in range(3))
    patterns = np.isfinite(values)
    for pattern in np.unique(patterns, axis=1).T:
        same = (patterns == pattern[:, None]).all(axis=0)
        # Positions are taken block by block: the resamples of all at once may be larger than memory.
        block = max(1, ELEMENTS // (resamples * int(pattern.sum())))
        places = np.flatnonzero(same)
        for start in range(0, len(places), block):
            chosen = places[start : start + block]
            present = values[np.ix_(pattern, chosen)]
            centre[chosen] = iqm(present)
            low[chosen], high[chosen] = bands(present, resamples)
    return Curve(grid, centre, low, high, count.astype(np.float64))


def _grid(positions: Sequence[Array], points: int) -> Array:
    """Positions of the curve: those of the runs themselves where they agree and are few."""
    first = positions[0]
    if len(first) <= points and all(np.array_equal(first, other) for other in positions[1:]):
        return first
    low, high = min(x[0] for x in positions), max(x[-1] for x in positions)
    return np.linspace(low, high, points)


def thinned(x: Array, y: Array, buckets: int) -> tuple[Array, Array]:
    """At most four points of each of `buckets` equal stretches: first, lowest, highest, last.

    Extremes stay, so a peak of a single update is still seen.
    """
    count = len(x)
    if count <= 4 * buckets:
        return x, y
    edges = np.linspace(0, count, buckets + 1).astype(np.intp)
    kept = {
        place
        for start, end in itertools.pairwise(edges)
        for place in (start, start + np.argmin(y[start:end]), start + np.argmax(y[start:end]), end - 1)
    }
    chosen = np.array(sorted(kept), np.intp)
    return x[chosen], y[chosen]
