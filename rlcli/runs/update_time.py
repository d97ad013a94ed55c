"""Estimate of the seconds that an update still takes, from its steps so far and the update before."""

from __future__ import annotations

import time

from rlcli.loggers.progress import Clock, duration


class UpdateTime:
    """Times of the update in progress and of the last one that was complete, in seconds.

    Collecting is assumed to continue at the pace of the rollout so far, learning to take what it took last.
    """

    def __init__(self, steps: int, clock: Clock = time.monotonic) -> None:
        """`steps`: env steps of one run in one update."""
        self._steps, self._clock = steps, clock
        self._last_collecting: float | None = None
        self._last_learning: float | None = None
        self._begun: float | None = None
        """None between two updates."""
        self._collected: dict[int, int] = {}
        self._collected_at = 0.0
        self._all = 0

    def begin(self, runs: int) -> None:
        """An update of so many runs begins."""
        self._begun, self._collected, self._all = self._clock(), {}, runs * self._steps

    def collected(self, runs: tuple[int, ...], steps: int) -> None:
        """Each of these runs has collected so many env steps of this update."""
        self._collected |= dict.fromkeys(runs, steps)
        self._collected_at = self._clock()

    def end(self) -> None:
        """The update is complete."""
        if self._begun is not None and self._done == self._all:
            self._last_collecting = self._collected_at - self._begun
            self._last_learning = self._clock() - self._collected_at
        self._begun = None

    @property
    def _done(self) -> int:
        return sum(self._collected.values())

    def left(self) -> str:
        """The time left as text: 'about 12 s'; 'at least' before learning was measured; '' if unknown."""
        if self._begun is None:
            return ""
        collecting = self._last_collecting
        if self._done:
            collecting = (self._collected_at - self._begun) * self._all / self._done
        if collecting is None:
            return ""
        elapsed = self._clock() - self._begun
        if self._last_learning is None:
            return "" if self._done == self._all else f"at least {duration(max(0.0, collecting - elapsed))}"
        return f"about {duration(max(0.0, collecting + self._last_learning - elapsed))}"
