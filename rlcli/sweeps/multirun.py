"""A sweep from its composed jobs, or from its directory, to its end."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlcli.config.compose import Composed, hydra_settings
from rlcli.errors import EXIT_CRASH, EXIT_SIGINT, EXIT_SIGTERM
from rlcli.runs.admission import VARIABLE, admit
from rlcli.runs.directory import new_sweep_dir
from rlcli.runs.lock import Lock
from rlcli.sweeps.cohorts import cohorts, this_machine, workers
from rlcli.sweeps.preflight import check
from rlcli.sweeps.results import write_results
from rlcli.sweeps.run import root_of
from rlcli.sweeps.sweep import NOBODY, OVER, Job, Sweep, now
from rlcli.sweeps.watch import Watch, watch

if TYPE_CHECKING:
    from rlcli.runs.train import Result

LONGEST_NAME = 100


class _Terminated(BaseException):
    """SIGTERM between two jobs; no Exception, so that Hydra does not take it for a failed job."""


SIGNALS: Mapping[type[BaseException] | None, int] = {
    KeyboardInterrupt: EXIT_SIGINT,
    _Terminated: EXIT_SIGTERM,
}
"""What is raised for them, with the exit code."""


def run_sweep(
    composed: Sequence[Composed],
    typed: Sequence[str],
    *,
    config_dir: str | None = None,
    quiet: bool = False,
) -> Sweep:
    """Runs checked jobs, each in its own directory, as Hydra's launcher has it; `typed` is whence they come.

    A failed job does not stop the others; a signal stops them all.
    """
    from rlcli.config import hydra_multirun

    directory = new_sweep_dir(composed[0].config, root_of(composed[0]))
    settings = hydra_settings(typed, multirun=True, config_dir=config_dir)
    with _alone(directory):
        sweep = Sweep.begin(directory, typed, job_names(composed), composed)
        with _Training(sweep, sweep.jobs, quiet) as training:

            def launch(_: str, __: Mapping[str, Any], numbers: Sequence[int]) -> None:
                training.train([sweep.jobs[number] for number in numbers])

            hydra_multirun.multirun(
                settings, config_dir, directory, lambda number: launch("", {}, [number]), launch
            )
    return sweep


def resume_sweep(
    directory: Path, *, imports: Sequence[str] = (), retry: bool = False, quiet: bool = False
) -> Sweep:
    """Brings the jobs of an earlier sweep to their end: those never begun and those that were cut.

    With `retry` those that failed too. What is finished stays as it is. `imports` are modules that the
    environments may come from.

    Raises:
        UserError: the directory names modules that nobody vouches for, its jobs cannot be trained here, or
            another process is at it.
        StorageError: the sweep or a config of it is damaged.
    """
    with _alone(directory):
        sweep = Sweep.read(directory)
        over = [status for status in OVER if not (retry and status == "failed")]
        left = [job for job in sweep.jobs if job.status not in over]
        for job in left:
            Lock(directory / job.name).release()  # a worker of a sweep that was killed may still be at it
            config = sweep.config(job)
            admit(config, directory / job.name, imports)
            check(config)
        if imports:  # workers ask again
            os.environ[VARIABLE] = ",".join([*imports, os.environ.get(VARIABLE, "")])
        with _Training(sweep, left, quiet) as training:
            training.train(left)
    return sweep


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """No other process trains the sweep meanwhile."""
    lock = Lock(directory)
    try:
        yield
    finally:
        lock.release()


class _Training:
    """Jobs of a sweep on their way to their end; what becomes of them is recorded as it is known.

    As a context: Ctrl-C and SIGTERM between two jobs end the sweep in order, and on leaving the record is
    made whole. While a job trains, training has handlers of its own.
    """

    def __init__(self, sweep: Sweep, jobs: Sequence[Job], quiet: bool) -> None:
        self._sweep = sweep
        self._configs = {job.name: sweep.config(job) for job in jobs}
        self._by_name = {job.name: job for job in sweep.jobs}
        totals = {name: one.updates * one.batch_size for name, one in self._configs.items()}
        self._watch: Watch = watch(sweep.jobs, totals, quiet)

    def __enter__(self) -> _Training:
        self._listening = ExitStack()
        self._listening.enter_context(_terminable())
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        self._listening.close()
        self._watch.close()
        code = SIGNALS.get(kind)
        if code is not None:
            self._sweep.stopped = code
        self._sweep.finished = now()
        for job in self._sweep.jobs:
            if job.status == "running":  # cut: its manifest knows
                self._sweep.refresh(job)
        self._sweep.record()
        write_results(self._sweep)
        return code is not None

    def train(self, jobs: Sequence[Job]) -> None:
        """Trains jobs in cohorts, in this process or in several."""
        if self._sweep.stopped is not None or not jobs:
            return
        configs = [self._configs[job.name] for job in jobs]
        machine = this_machine()
        parts = cohorts(configs, machine)
        units = [[jobs[position].name for position in part] for part in parts]
        self._announce(units)
        count = min(workers(configs[0], machine), len(units))
        if count > 1:
            self._in_processes(units, count)
            return
        for names in units:
            if self._sweep.stopped is None:
                self._here(names)

    def _announce(self, units: Sequence[Sequence[str]]) -> None:
        jobs = sum(map(len, units))
        if jobs > 1:
            sizes = sorted({len(unit) for unit in units})
            shown = str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
            plural = "cohort" if len(units) == 1 else "cohorts"
            cohorts = "one by one" if sizes == [1] else f"{len(units)} {plural} of {shown}"
            self._watch.say(f"{jobs} jobs: {cohorts}")

    def _here(self, names: Sequence[str]) -> None:
        from rlcli.runs.train import Verdict
        from rlcli.sweeps.work import work

        def heard(name: str, row: Mapping[str, Any]) -> Verdict:
            self._watch.row(name, row)
            return Verdict.CONTINUE

        self._begun(names)
        jobs = [self._by_name[name] for name in names]
        results = work(
            self._sweep.dir,
            names,
            [self._configs[name] for name in names],
            [job.overrides for job in jobs],
            on_row=heard,
            tell=self._watch.say,
            announced=self._watch.say,
        )
        for result in results:
            self._ended(result.dir.name, result)
            if result.exit_code in SIGNALS.values():
                self._sweep.stopped = result.exit_code
        self._sweep.record()

    def _in_processes(self, units: Sequence[Sequence[str]], count: int) -> None:
        from rlcli.runs.train import Result
        from rlcli.sweeps.processes import in_processes
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
                    self._ended(name, failed(self._sweep.dir / name, EXIT_CRASH, message))
                self._sweep.record()

        stopped = in_processes(self._sweep.dir, units, count, hear)
        if stopped is not None:
            self._sweep.stopped = stopped

    def _begun(self, names: Sequence[str]) -> None:
        for name in names:
            self._by_name[name].status = "running"
        self._sweep.record()

    def _ended(self, name: str, result: Result) -> None:
        job = self._by_name[name]
        self._sweep.refresh(job)
        if result.id == NOBODY:  # its manifest, if there is one, does not know
            job.status, job.exit_code, job.message = result.status, result.exit_code, result.message
        self._watch.ended(job)


def job_names(composed: Sequence[Composed]) -> list[str]:
    """Folder names that say in what the jobs differ: `clip=0.1,seed=0`; each once."""
    names: list[str] = []
    for number, job in enumerate(composed):
        parts = [text.partition("=") for text in job.varied]
        leaves = [key.rpartition(".")[2] for key, _, _ in parts]
        keys = leaves if len(set(leaves)) == len(leaves) else [key for key, _, _ in parts]
        said = ",".join(f"{key}={_safe(value)}" for key, (_, _, value) in zip(keys, parts, strict=True))
        name = said or "job"
        if len(name) > LONGEST_NAME or name in names:
            name = f"{name[:LONGEST_NAME]}-{number}"
        names.append(name)
    return names


def _safe(value: str) -> str:
    return re.sub(r"[^\w.+-]+", "-", value).strip("-.") or "none"


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM between jobs ends the sweep in order; within a job training has its own handler."""

    def terminate(*_: object) -> None:
        raise _Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
