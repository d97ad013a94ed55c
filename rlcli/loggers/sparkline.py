"""Sparkline of one figure over a whole run, in bounded memory."""

from __future__ import annotations

import itertools

BARS = "▁▂▃▄▅▆▇█"
CAPACITY = 128


class Series:
    """Series of a figure in bounded memory: neighbours are averaged once there are too many."""

    def __init__(self) -> None:
        self._points: list[float] = []
        self._stride = 1
        self._pending: list[float] = []

    def add(self, value: float) -> None:
        """Appends the next value."""
        self._pending.append(value)
        if len(self._pending) < self._stride:
            return
        self._points.append(sum(self._pending) / self._stride)
        self._pending.clear()
        if len(self._points) == CAPACITY:
            self._points = [(a + b) / 2 for a, b in zip(self._points[::2], self._points[1::2], strict=True)]
            self._stride *= 2

    @property
    def limits(self) -> tuple[float, float] | None:
        """The lowest and the highest point; None of an empty series."""
        points = self._points or self._pending
        return (min(points), max(points)) if points else None

    def sparkline(self, width: int, minimum: float | None = None, maximum: float | None = None) -> str:
        """At most `width` bars, oldest first, between the minimum and the maximum shown.

        `minimum` and `maximum` widen that range: a figure that hardly moves should not look dramatic.
        """
        points = _resampled(self._points or self._pending, width)
        if not points:
            return ""
        low = min(points) if minimum is None else min(minimum, *points)
        high = max(points) if maximum is None else max(maximum, *points)
        if high <= low:
            return BARS[0] * len(points)
        return "".join(BARS[min(7, int(8 * (point - low) / (high - low)))] for point in points)


def _resampled(points: list[float], width: int) -> list[float]:
    """Means of `width` equal parts; the points themselves while there are no more than that."""
    count = len(points)
    if count <= width:
        return points
    edges = [part * count // width for part in range(width + 1)]
    return [sum(points[a:b]) / (b - a) for a, b in itertools.pairwise(edges)]
