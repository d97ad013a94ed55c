"""Estimate of the seconds that updates in worker processes still take, from the times of their rows."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import NamedTuple

from rlcli.loggers.progress import Clock, duration


class _Last(NamedTuple):
    update: float
    at: float
    seconds: float | None = None
    """Of an update, from the last two rows; None after the first."""


class RowTimes:
    """Times of the last rows of runs in training."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._last: dict[str, _Last] = {}

    def row(self, name: str, figures: Mapping[str, float]) -> None:
        """Takes in the row of a run's update."""
        now, update = self._clock(), figures.get("update", 0)
        before = self._last.get(name)
        updates = 0 if before is None else update - before.update
        seconds = (now - before.at) / updates if before is not None and updates > 0 else None
        self._last[name] = _Last(update, now, seconds)

    def ended(self, name: str) -> None:
        """Removes a run."""
        self._last.pop(name, None)

    def left(self) -> str:
        """The time until every run has a row again, as `UpdateTime.left`; '' if unknown."""
        now = self._clock()
        left = [one.at + one.seconds - now for one in self._last.values() if one.seconds is not None]
        return f"about {duration(max(0.0, *left))}" if left else ""
