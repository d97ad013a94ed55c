"""Training of a sweep's jobs to their end: divided into cohorts, launched, displayed and recorded."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from rlcli.errors import EXIT_CRASH, StorageError
from rlcli.runs.cadence import AT_THE_END_ONLY
from rlcli.runs.stop import CODES, handle_signals, stopping
from rlcli.sweeps.cohorts import cohorts, this_machine, workers
from rlcli.sweeps.events import CohortEnded, Event, Message, OnEvent, RunEnded, RunRow, RunsStarted, Stopping
from rlcli.sweeps.launchers.launcher import Cohort, Launcher
from rlcli.sweeps.launchers.stop_file import remove_stop_file
from rlcli.sweeps.progress import Display, display
from rlcli.sweeps.reference import reference
from rlcli.sweeps.results import write_results
from rlcli.sweeps.row_times import RowTimes
from rlcli.sweeps.sweep import NO_ID, Job, Sweep, now

if TYPE_CHECKING:
    from rlcli.runs.result import Result


class _Signalled(BaseException):
    """A signal between two cohorts; no Exception, so that nothing takes it for a failed job."""

    def __init__(self, exit_code: int) -> None:
        self.exit_code = exit_code


class Training:
    """Trains jobs of a sweep by a launcher and records what becomes of them.

    As a context: Ctrl-C and SIGTERM between two cohorts end the sweep in order, and sweep.json and
    results.csv are complete after the block. While a cohort trains, its training handles signals.
    """

    def __init__(self, sweep: Sweep, jobs: Sequence[Job], quiet: bool, launcher: Launcher) -> None:
        self.sweep, self._launcher = sweep, launcher
        self._configs = {job.name: sweep.config(job) for job in jobs}
        self._by_name = {job.name: job for job in sweep.jobs}
        self._row_times = RowTimes()
        self._at_the_end_only = False
        """Whether a message said that runs are evaluated at their end only."""
        self._display: Display = display(sweep.jobs, self._totals(jobs), quiet)

    def expect(self, jobs: int, steps: int) -> None:
        """Adds to the jobs still to come, of about `steps` env steps each; a negative number removes."""
        self._display.expect(jobs, steps)

    def add(self, jobs: Sequence[Job]) -> None:
        """Adds jobs that were added to the sweep."""
        self._configs |= {job.name: self.sweep.config(job) for job in jobs}
        self._by_name |= {job.name: job for job in jobs}
        self._display.add(jobs, self._totals(jobs))

    def message(self, text: str) -> None:
        """Shows a line of text."""
        self._display.message(text)

    def _totals(self, jobs: Sequence[Job]) -> dict[str, int]:
        """The env steps each job ends at."""
        configs = {job.name: self._configs[job.name] for job in jobs}
        return {name: one.updates * one.batch_size for name, one in configs.items()}

    def __enter__(self) -> Training:
        self._handlers = ExitStack()
        self._handlers.enter_context(_raised_by_signals())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> bool:
        self._handlers.close()
        if isinstance(error, _Signalled):
            self.sweep.stopped = error.exit_code
        self._display.close(interrupted=self.sweep.stopped is not None)
        self.sweep.finished = now()
        for job in self.sweep.jobs:
            if job.status == "running":  # interrupted: its manifest has the state
                self.sweep.refresh(job)
        remove_stop_file(self.sweep.dir)
        if not self.sweep.dir.is_dir():
            raise StorageError(
                f"{self.sweep.dir} does not exist any more: it was removed while its jobs trained."
            )
        self.sweep.record()
        write_results(self.sweep)
        return isinstance(error, _Signalled)

    def train(self, jobs: Sequence[Job]) -> None:
        """Divides jobs into cohorts and trains them; does nothing after a signal."""
        if self.sweep.stopped is not None or not jobs:
            return
        configs = [self._configs[job.name] for job in jobs]
        machine = self._launcher.machine(this_machine())
        parts = cohorts(configs, machine, [job.trial for job in jobs])
        named = [[jobs[position].name for position in part] for part in parts]
        self._announce(named)
        count = min(workers(configs[0], machine), len(named))
        self.sweep.stopped = self._launcher.train(self.sweep, named, count, self._on_event())

    def _announce(self, named: Sequence[Cohort]) -> None:
        jobs = sum(map(len, named))
        if jobs > 1:
            sizes = sorted({len(cohort) for cohort in named})
            shown = str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
            plural = "cohort" if len(named) == 1 else "cohorts"
            how = "one by one" if sizes == [1] else f"{len(named)} {plural} of {shown}"
            place = f", {self._launcher.place}" if self._launcher.place else ""
            self.message(f"{jobs} jobs: {how}{place}")

    def _on_event(self) -> OnEvent:
        """Displays and records the events of one training."""
        ended: set[str] = set()

        def on_event(event: Event) -> None:
            match event:
                case RunsStarted(names):
                    self._started(names)
                case RunRow(name, figures):
                    self._row_times.row(name, figures)
                    self._display.row(name, figures)
                case RunEnded(name, result):
                    ended.add(name)
                    self._row_times.ended(name)
                    self._ended(name, result)
                case Message(text):
                    self._show(text)
                case Stopping(left):
                    self._display.message(stopping(reference(self.sweep), left or self._row_times.left()))
                case CohortEnded(names, exit_code):
                    if exit_code is not None:
                        self._fail([name for name in names if name not in ended], exit_code)
                    self.sweep.record()

        return on_event

    def _show(self, text: str) -> None:
        """Shows a message of a cohort; that runs are evaluated at their end only, once for all."""
        again = text.startswith(AT_THE_END_ONLY)
        if not (again and self._at_the_end_only):
            self._display.message(text)
        self._at_the_end_only |= again

    def _fail(self, names: Sequence[str], exit_code: int) -> None:
        """Ends jobs whose worker process ended without a result of theirs."""
        if names:
            from rlcli.sweeps.cohort_job import failed

            message = f"its process ended with {exit_code}, without a message"
            for name in names:
                self._ended(name, failed(self.sweep.dir / name, EXIT_CRASH, message))

    def _started(self, names: Sequence[str]) -> None:
        for name in names:
            self._by_name[name].status = "running"
        self.sweep.record()

    def _ended(self, name: str, result: Result) -> None:
        job = self._by_name[name]
        self.sweep.refresh(job)
        removed = not (self.sweep.dir / name).is_dir()
        if result.id == NO_ID or removed:  # not in its manifest, if there is one
            job.status, job.exit_code, job.message = result.status, result.exit_code, result.message
        if removed:
            job.message = "its directory does not exist any more: it was removed while the job trained"
        self._display.ended(job)


@contextmanager
def _raised_by_signals() -> Iterator[None]:
    """Signals raise `_Signalled`; within a cohort, training replaces the handlers by its own."""

    def on_signal(number: int, _: FrameType | None) -> None:
        raise _Signalled(CODES[signal.Signals(number)])

    with handle_signals(on_signal):
        yield
