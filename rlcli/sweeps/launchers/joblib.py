"""Launcher joblib: cohorts in the pool of loky processes that joblib's own `Parallel` uses."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from typing import Any

import joblib
from joblib.externals.loky import get_reusable_executor

from rlcli.config.launchers import Joblib
from rlcli.streams import prints_to_stderr
from rlcli.sweeps.cohorts import Machine
from rlcli.sweeps.events import OnEvent
from rlcli.sweeps.launchers.launcher import Cohort
from rlcli.sweeps.launchers.supervision import Lost, supervise
from rlcli.sweeps.reference import reference
from rlcli.sweeps.sweep import Sweep
from rlcli.sweeps.worker import NOT_BEGUN, Outcome, Task, run_task

RETRIES = 1
"""A worker that dies ends joblib's others with it; all their cohorts are submitted once more."""


def _detach() -> None:
    """Initialiser of a process, which inherits the terminal and the stream that results are printed to."""
    os.setsid()  # a session of its own gets no Ctrl-C of the terminal
    prints_to_stderr()


class Processes:
    """Processes of this machine, kept until the sweep ends; they also end with this process."""

    place = "in processes of joblib"

    def __init__(self, settings: Joblib) -> None:
        self._count = joblib.effective_n_jobs(settings.n_jobs)
        self._asked = settings.n_jobs > 0
        self._pool: Any = None

    def machine(self, here: Machine) -> Machine:
        """See `Launcher`: this machine, with as many workers as were asked for."""
        workers = self._count if self._asked else None
        return Machine(self._count, here.memory, workers, divided=self._asked)

    def train(self, sweep: Sweep, cohorts: Sequence[Cohort], count: int, on_event: OnEvent) -> int | None:
        """See `Launcher`."""
        return supervise(
            self,
            sweep.dir,
            cohorts,
            min(count, self._count),
            on_event,
            named=reference(sweep),
            retries=RETRIES,
        )

    def submit(self, tasks: Sequence[Task]) -> list[Future[Outcome]]:
        """See `Pool`."""
        # A new pool after a worker has died.
        self._pool = get_reusable_executor(self._count, initializer=_detach)
        return [self._pool.submit(run_task, task) for task in tasks]

    def wait(self, handles: Sequence[Future[Outcome]], seconds: float) -> list[Future[Outcome]]:
        """See `Pool`."""
        return list(wait(handles, seconds, FIRST_COMPLETED).done)

    def outcome(self, handle: Future[Outcome]) -> Outcome:
        """See `Pool`."""
        if handle.cancelled():
            return NOT_BEGUN
        try:
            return handle.result()
        except BrokenExecutor as error:
            raise Lost("a process of joblib was killed, perhaps for lack of memory") from error

    def withdraw(self, handle: Future[Outcome]) -> None:
        """See `Pool`."""
        handle.cancel()

    def kill(self, _: Sequence[Future[Outcome]]) -> None:
        """Kills the processes."""
        self._pool.shutdown(wait=False, kill_workers=True)

    def close(self) -> None:
        """See `Launcher`."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True)
