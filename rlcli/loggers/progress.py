"""Progress of training (position, speed, time left), and formatting of numbers for people."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

WINDOW = 10.0
"""Seconds over which the speed shown is averaged."""
SHORTEST = 0.1
"""Minimum seconds to measure speed over: rows of many jobs may arrive all at once."""

Clock = Callable[[], float]


class Progress:
    """Position and speed of training, updated by `reach`. In seconds and env steps."""

    def __init__(self, start: int, total: int, clock: Clock = time.monotonic) -> None:
        self.steps = start
        self.total = total
        self._clock = clock
        self._started = clock()
        # The speed excludes starting up: it is measured from the first row on.
        self._marks: deque[tuple[float, int]] = deque()
        self._earlier: float | None = None

    def reach(self, steps: int) -> None:
        """Sets the position to `steps`."""
        now = self._clock()
        self.steps = steps
        self._marks.append((now, steps))
        while len(self._marks) > 2 and self._marks[1][0] < now - WINDOW:
            self._marks.popleft()

    def restart(self) -> None:
        """Leaves the time since the last row out of the speed: the next runs started in it."""
        self._earlier = self.speed
        self._marks.clear()

    @property
    def fraction(self) -> float:
        """Share of the steps that is done, 0 to 1."""
        return min(1.0, self.steps / max(1, self.total))

    @property
    def elapsed(self) -> float:
        """Seconds since this process started or resumed it."""
        return self._clock() - self._started

    @property
    def speed(self) -> float | None:
        """Recent env steps per second, after a restart those before it at first; None if never measured."""
        if len(self._marks) < 2:
            return self._earlier
        (since, before), (now, steps) = self._marks[0], self._marks[-1]
        measured = now - since >= SHORTEST and steps > before
        return (steps - before) / (now - since) if measured else self._earlier

    @property
    def left(self) -> float | None:
        """Seconds to the end at that speed; None before it can be measured."""
        speed = self.speed
        return None if speed is None else max(0.0, self.total - self.steps) / speed


def figure(value: float | None) -> str:
    """A number of any size in few digits: 12,346 or 487.3 or 9.21 or 0.0081 or 3.2e-06; '-' for none."""
    if value is None:
        return "-"
    size = abs(value)
    for minimum, form in ((1e7, ".2e"), (1000.0, ",.0f"), (100.0, ".1f"), (1.0, ".2f"), (1e-3, ".4f")):
        if size >= minimum:
            return format(value, form)
    return format(value, ".1e") if size else "0"


def share(value: float | None) -> str:
    """A fraction with three decimals; '-' for none."""
    return "-" if value is None else f"{value:.3f}"


def duration(seconds: float | None) -> str:
    """8 s, 3 m 07 s, 2 h 05 m; '-' for none."""
    if seconds is None:
        return "-"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} m"
