"""Jobs of a sweep trained to their end, in cohorts, here or in worker processes; the record of it kept."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

from rlcli.errors import EXIT_CRASH, StorageError
from rlcli.runs.stop import CODES, heard_by
from rlcli.sweeps.cohorts import cohorts, this_machine, workers
from rlcli.sweeps.launchers.order import withdraw
from rlcli.sweeps.results import write_results
from rlcli.sweeps.sweep import NOBODY, Job, Sweep, now
from rlcli.sweeps.watch import Watch, watch

if TYPE_CHECKING:
    from rlcli.runs.train import Result
    from rlcli.sweeps.launchers.interface import Hear, Launcher


class _Signalled(BaseException):
    """A signal between two cohorts; no Exception, so that nothing takes it for a failed job."""

    def __init__(self, exit_code: int) -> None:
        self.exit_code = exit_code


class Training:
    """Jobs of a sweep on their way to their end; what becomes of them is recorded as it is known.

    As a context: Ctrl-C and SIGTERM between two jobs end the sweep in order, and on leaving the record is
    made whole. While a job trains, training has handlers of its own.
    """

    def __init__(
        self, sweep: Sweep, jobs: Sequence[Job], quiet: bool, launcher: Launcher | None = None
    ) -> None:
        self.sweep, self._launcher = sweep, launcher
        self._configs = {job.name: sweep.config(job) for job in jobs}
        self._by_name = {job.name: job for job in sweep.jobs}
        self._watch: Watch = watch(sweep.jobs, self._totals(jobs), quiet)

    def expect(self, jobs: int, steps: int) -> None:
        """So many jobs more will be added, or fewer, of about so many env steps each."""
        self._watch.expect(jobs, steps)

    def add(self, jobs: Sequence[Job]) -> None:
        """Jobs that the sweep has come to have since."""
        self._configs |= {job.name: self.sweep.config(job) for job in jobs}
        self._by_name |= {job.name: job for job in jobs}
        self._watch.add(jobs, self._totals(jobs))

    def say(self, text: str) -> None:
        """Tells whoever watches."""
        self._watch.say(text)

    def _totals(self, jobs: Sequence[Job]) -> dict[str, int]:
        """The env steps each job ends at."""
        configs = {job.name: self._configs[job.name] for job in jobs}
        return {name: one.updates * one.batch_size for name, one in configs.items()}

    def __enter__(self) -> Training:
        self._listening = ExitStack()
        self._listening.enter_context(_ended_by_signals())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> bool:
        self._listening.close()
        self._watch.close()
        if isinstance(error, _Signalled):
            self.sweep.stopped = error.exit_code
        self.sweep.finished = now()
        for job in self.sweep.jobs:
            if job.status == "running":  # cut: its manifest knows
                self.sweep.refresh(job)
        withdraw(self.sweep.dir)
        if not self.sweep.dir.is_dir():
            raise StorageError(
                f"{self.sweep.dir} is not there any more: it was removed while its jobs trained."
            )
        self.sweep.record()
        write_results(self.sweep)
        return isinstance(error, _Signalled)

    def train(self, jobs: Sequence[Job]) -> None:
        """Trains jobs in cohorts: as the launcher does, else in this process or in several."""
        if self.sweep.stopped is not None or not jobs:
            return
        configs = [self._configs[job.name] for job in jobs]
        machine = this_machine()
        if self._launcher is not None:
            machine = self._launcher.machine(machine)
        parts = cohorts(configs, machine, [job.trial for job in jobs])
        units = [[jobs[position].name for position in part] for part in parts]
        self._announce(units)
        count = min(workers(configs[0], machine), len(units))
        if self._launcher is not None:
            self.sweep.stopped = self._launcher.train(self.sweep.dir, units, count, self._hearing())
            return
        if count > 1:
            self._in_processes(units, count)
            return
        for names in units:
            if self.sweep.stopped is None:
                self._here(names)

    def _announce(self, units: Sequence[Sequence[str]]) -> None:
        jobs = sum(map(len, units))
        if jobs > 1:
            sizes = sorted({len(unit) for unit in units})
            shown = str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
            plural = "cohort" if len(units) == 1 else "cohorts"
            cohorts = "one by one" if sizes == [1] else f"{len(units)} {plural} of {shown}"
            place = "" if self._launcher is None else f", {self._launcher.place}"
            self._watch.say(f"{jobs} jobs: {cohorts}{place}")

    def _here(self, names: Sequence[str]) -> None:
        from rlcli.runs.train import Verdict
        from rlcli.sweeps.work import Jobs, work

        def heard(name: str, row: Mapping[str, Any]) -> Verdict:
            self._watch.row(name, row)
            return Verdict.CONTINUE

        self._begun(names)
        jobs = Jobs(
            self.sweep.dir,
            names,
            [self._configs[name] for name in names],
            [self._by_name[name].overrides for name in names],
            [self._by_name[name].trial for name in names],
        )
        self.sweep.stopped = work(
            jobs, on_row=heard, on_end=self._ended, tell=self._watch.say, announced=self._watch.say
        )
        self.sweep.record()

    def _in_processes(self, units: Sequence[Sequence[str]], count: int) -> None:
        from rlcli.sweeps.launchers.processes import in_processes

        stopped = in_processes(self.sweep.dir, units, count, self._hearing())
        if stopped is not None:
            self.sweep.stopped = stopped

    def _hearing(self) -> Hear:
        """Takes in what workers tell."""
        from rlcli.runs.train import Result
        from rlcli.sweeps.work import failed

        told: set[str] = set()

        def hear(kind: str, content: Any) -> None:
            if kind == "row":
                self._watch.row(*content)
            elif kind == "say":
                self._watch.say(content)
            elif kind == "result":
                name, about = content
                told.add(name)
                self._ended(name, Result(**about))
            elif kind == "begun":
                self._begun(content)
            else:
                names, code = content
                untold = [name for name in names if code is not None and name not in told]
                for name in untold:
                    message = f"its process ended with {code}, without a word"
                    self._ended(name, failed(self.sweep.dir / name, EXIT_CRASH, message))
                self.sweep.record()

        return hear

    def _begun(self, names: Sequence[str]) -> None:
        for name in names:
            self._by_name[name].status = "running"
        self.sweep.record()

    def _ended(self, name: str, result: Result) -> None:
        job = self._by_name[name]
        self.sweep.refresh(job)
        gone = not (self.sweep.dir / name).is_dir()
        if result.id == NOBODY or gone:  # its manifest, if there is one, does not know
            job.status, job.exit_code, job.message = result.status, result.exit_code, result.message
        if gone:
            job.message = "its directory is not there any more: it was removed while the job trained"
        self._watch.ended(job)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Between cohorts a signal ends the sweep in order; within one training has handlers of its own."""

    def heard(number: int, _: FrameType | None) -> None:
        raise _Signalled(CODES[signal.Signals(number)])

    with heard_by(heard):
        yield
