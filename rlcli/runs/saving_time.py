"""Time between checkpoints (`checkpoint.seconds`): one that is due earlier waits, so that they cost little.

When a checkpoint is made depends on the clock, and nothing else does: no figure, digest or state.
"""

from __future__ import annotations

import time

from rlcli.loggers.progress import Clock

SHARE = 0.02
"""Share of the time that checkpoints take at most with `auto`."""


class SavingTime:
    """Whether a checkpoint that has come due is made now, or waits until enough time has passed.

    The first one of a process never waits. The runs of a cohort save one after the other, so for each of R
    runs `auto` waits R times as long.
    """

    def __init__(self, seconds: float | str, clock: Clock = time.perf_counter) -> None:
        """`seconds`: minimum time from one checkpoint to the next, or auto."""
        self._seconds, self._clock = seconds, clock
        self._begun = 0.0
        self._ended: float | None = None
        """When the last checkpoint was complete; None before the first."""
        self._took = 0.0
        self._owed = False
        self.due = False
        """Whether a checkpoint is made after the last update because the schedule asks for one."""

    def update(self, reached: bool, runs: int = 1) -> None:
        """Counts an update; `reached`: the schedule asks for a checkpoint after it; `runs` train together."""
        self._owed = self._owed or reached
        self.due = self._owed and (self._ended is None or self._clock() >= self._ended + self.wait(runs))

    def wait(self, runs: int) -> float:
        """Seconds from the last checkpoint to the next."""
        if isinstance(self._seconds, str):
            return self._took * (runs / SHARE - 1)
        return self._seconds

    def begin(self) -> None:
        """A checkpoint begins."""
        self._begun = self._clock()

    def end(self) -> float:
        """It is complete; the seconds it took."""
        self._ended = self._clock()
        self._took = self._ended - self._begun
        self._owed = False
        return self._took
