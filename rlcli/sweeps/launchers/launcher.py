"""The interface of launchers: what trains the cohorts of a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rlcli.sweeps.cohorts import Machine
from rlcli.sweeps.events import OnEvent
from rlcli.sweeps.sweep import Sweep

Cohort = Sequence[str]
"""The names of the jobs of a cohort."""


class Launcher(Protocol):
    """Trains cohorts, as often as it is asked to, until it is closed."""

    @property
    def place(self) -> str:
        """Where cohorts train, as shown after '48 jobs: 2 cohorts of 24, '; '' for this machine."""

    def machine(self, here: Machine) -> Machine:
        """The machine that jobs are divided into cohorts for; `here` is this one."""

    def train(self, sweep: Sweep, cohorts: Sequence[Cohort], count: int, on_event: OnEvent) -> int | None:
        """Trains cohorts of a sweep, at most `count` side by side; events come in the calling thread.

        Ctrl-C and SIGTERM are passed on: each worker ends the update in progress and saves. A second signal
        ends all at once. Returns the exit code of such a signal, else None.
        """

    def close(self) -> None:
        """Ends all processes of the launcher; calling it again does nothing."""
