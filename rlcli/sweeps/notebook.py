"""Progress of a sweep in a notebook: its total in one line that is written anew."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from rlcli.loggers.notebook import NotebookLine
from rlcli.loggers.progress import Clock
from rlcli.streams import err
from rlcli.sweeps.progress import SHOWN, Figures, Tally, ending
from rlcli.sweeps.sweep import Job


class Notebook:
    """See `Display`."""

    def __init__(self, jobs: Sequence[Job], totals: Mapping[str, int], clock: Clock = time.monotonic) -> None:
        self._tally = Tally(jobs, totals, clock)
        self._line = NotebookLine(clock)

    def expect(self, jobs: int, steps: int) -> None:
        """See `Display`."""
        self._tally.expect(jobs, steps)

    def add(self, jobs: Sequence[Job], totals: Mapping[str, int]) -> None:
        """See `Display`."""
        self._tally.add(jobs, totals)

    def row(self, name: str, figures: Figures) -> None:
        """Writes the total if it is due."""
        self._tally.row(name, figures)
        if self._line.due:
            self._line.show(self._tally.total())

    def ended(self, job: Job) -> None:
        """Shows a job that failed or was pruned."""
        self._tally.ended(job)
        if job.status in SHOWN:
            self.message(ending(job))

    def message(self, text: str) -> None:
        """Prints a line of text below."""
        err().line(text)

    def close(self, *, interrupted: bool) -> None:
        """Writes the last total."""
        self._line.show(self._tally.total(interrupted))
