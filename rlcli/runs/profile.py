"""Profile of training (`profile=true`): the seconds of each part, saved to profile.json when a run ends.

One profile is of one process and of all runs that train together in it. It adds up times that are taken in
any case, once for each part of an update; only the environments are timed for it alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from rlcli.backends.session import Row
from rlcli.loggers.progress import Clock
from rlcli.store.profile import PARTS, WAITING, Profiled, write_profile

OF_SESSION = ("time/collect", "time/environment", "time/learn", "time/estimate", "time/health")
"""Times of a row that the session takes."""
OF_ACTORS = "actors/learner_busy"
"""In the rows of runs whose actors collect meanwhile."""


class Profile:
    """Seconds of each part of training so far."""

    def __init__(self, runs: int, clock: Clock = time.perf_counter) -> None:
        """`runs` train together."""
        self._runs, self._clock = runs, clock
        self._begun = clock()
        self._updates = 0
        self._seconds = dict.fromkeys(PARTS, 0.0)

    def add_update(self, rows: Iterable[Row]) -> None:
        """Adds an update of all runs, with the times of the session in their rows.

        Rows of runs that were trained as one program have the same times, which count once.
        """
        self._updates += 1
        for times in {(OF_ACTORS in row, *(row.get(name, 0.0) for name in OF_SESSION)) for row in rows}:
            waits, collect, environment, learn, estimate, health = times
            self.add("environment", environment)
            self.add(WAITING if waits else "acting", collect - environment)
            self.add("estimates", estimate)
            self.add("gradient steps", learn - estimate)
            self.add("health", health)

    def add(self, part: str, seconds: float) -> None:
        """Adds seconds to a part."""
        self._seconds[part] = self._seconds.get(part, 0.0) + seconds

    def so_far(self) -> Profiled:
        """What it says; `other` is the time that no part has."""
        total = self._clock() - self._begun
        other = max(0.0, total - sum(self._seconds.values()))
        return Profiled(self._runs, self._updates, total, self._seconds | {"other": other})

    def write(self, run_dir: Path) -> None:
        """Writes profile.json to a run's directory.

        Raises:
            StorageError: the disk is full, or refuses.
        """
        write_profile(run_dir, self.so_far())
