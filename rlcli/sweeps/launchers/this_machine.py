"""Launchers of this machine: training in this process, or in a pool of worker processes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from rlcli.sweeps.cohorts import Machine
from rlcli.sweeps.events import CohortEnded, OnEvent, RunsStarted, Stopping
from rlcli.sweeps.launchers.launcher import Cohort
from rlcli.sweeps.sweep import Sweep


class InProcess:
    """Trains cohorts of at most `max_size` runs in this process, one after the other."""

    place = ""

    def __init__(self, max_size: int | None = None) -> None:
        self._max_size = max_size

    def machine(self, here: Machine) -> Machine:
        """See `Launcher`."""
        return dataclasses.replace(here, max_size=self._max_size)

    def train(self, sweep: Sweep, cohorts: Sequence[Cohort], count: int, on_event: OnEvent) -> int | None:
        """See `Launcher`."""
        from rlcli.sweeps.cohort_job import CohortJob, train_cohort

        for names in cohorts:
            on_event(RunsStarted(tuple(names)))
            code = train_cohort(
                CohortJob.of(sweep, names), on_event, on_stop=lambda left: on_event(Stopping(left))
            )
            on_event(CohortEnded(tuple(names), None))
            if code is not None:
                return code
        return None

    def close(self) -> None:
        """See `Launcher`."""


class ThisMachine:
    """Trains one cohort in this process, or several side by side in worker processes."""

    place = ""

    def machine(self, here: Machine) -> Machine:
        """See `Launcher`."""
        return here

    def train(self, sweep: Sweep, cohorts: Sequence[Cohort], count: int, on_event: OnEvent) -> int | None:
        """See `Launcher`."""
        from rlcli.sweeps.launchers.pool import ProcessPool

        chosen = ProcessPool() if count > 1 else InProcess()
        return chosen.train(sweep, cohorts, count, on_event)

    def close(self) -> None:
        """See `Launcher`."""
