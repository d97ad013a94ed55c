"""What a launcher is: it takes cohorts, and tells what becomes of their jobs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from rlcli.sweeps.cohorts import Machine

Unit = Sequence[str]
"""The names of the jobs of a cohort."""

Hear = Callable[[str, Any], None]
"""Is told of every event, in the thread that trains the sweep:

    begun   [names]          jobs that are in training from now on
    row     (name, row)      figures of a job's last update
    say     text
    result  (name, result)   a job has come to its end; the fields of its `Result`, as plain data
    ended   (names, code)    a cohort has ended; its jobs untold so far failed, if there is an exit code
"""


class Launcher(Protocol):
    """Takes cohorts, as often as it is asked to, until it is closed."""

    @property
    def place(self) -> str:
        """Where cohorts train, as '48 jobs: 2 cohorts of 24, PLACE' goes on; '' goes without saying."""

    def machine(self, here: Machine) -> Machine:
        """What there is to train on, for dividing jobs into cohorts; `here` is this machine."""

    def train(self, directory: Path, units: Sequence[Unit], count: int, hear: Hear) -> int | None:
        """Trains cohorts of the sweep in `directory`, at most `count` side by side.

        Ctrl-C and SIGTERM are passed on: each worker ends the update in progress and saves. A second one ends
        all at once. The exit code of such a signal, else None.
        """

    def close(self) -> None:
        """Leaves no process behind; again does nothing."""
