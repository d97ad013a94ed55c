"""Supervision of cohorts in workers that a library starts: submitted, polled, stopped, retried.

Such workers have no pipe to this process. While they train, their run directories are polled for what they
did; when one ends, the library returns its outcome.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol

from rlcli.config.extensions import VARIABLE
from rlcli.errors import EXIT_CRASH, StorageError
from rlcli.runs.reference import Reference, sweep_reference
from rlcli.runs.result import Result
from rlcli.runs.stop import quitting, stop_on_signals
from rlcli.store.directory import summary
from rlcli.store.manifest import FILE as MANIFEST
from rlcli.store.rows import RECORD, last_row
from rlcli.streams import say_at_once, show_cursor
from rlcli.sweeps.cohort_job import failed
from rlcli.sweeps.events import (
    CohortEnded,
    Message,
    OnEvent,
    RunEnded,
    RunRow,
    RunsStarted,
    Stopping,
    figures_of,
)
from rlcli.sweeps.launchers.launcher import Cohort
from rlcli.sweeps.launchers.stop_file import StopFile, remove_stop_file
from rlcli.sweeps.sweep import OVER
from rlcli.sweeps.worker import Outcome, Task

WAIT = 0.5
"""Maximum seconds between two checks for signals and ended workers."""
POLL_EVERY = 1.0
"""Minimum seconds between two polls of the run directories."""
POLL_COST = 0.05
"""Maximum share of the time that polling may take."""
FIELDS = [field.name for field in fields(Result)]


class Lost(Exception):
    """A worker ended without an outcome of its cohort; the text says why, as far as the library knows."""


class Pool(Protocol):
    """What supervision needs of a library; a handle is one submitted cohort, and hashable."""

    def submit(self, tasks: Sequence[Task]) -> list[Any]:
        """Submits cohorts; returns a handle for each."""

    def wait(self, handles: Sequence[Any], seconds: float) -> list[Any]:
        """The handles that have ended, after at most so many seconds."""

    def outcome(self, handle: Any) -> Outcome:
        """The outcome of one that has ended; raises `Lost` if its worker died."""

    def withdraw(self, handle: Any) -> None:
        """Cancels a cohort that seems not to have started."""

    def kill(self, handles: Sequence[Any]) -> None:
        """Ends workers at once, as far as they do not end with this process."""


@dataclass
class _Submitted:
    names: Cohort
    retries: int


def supervise(
    pool: Pool,
    directory: Path,
    cohorts: Sequence[Cohort],
    count: int,
    on_event: OnEvent,
    *,
    named: Reference | None = None,
    retries: int = 0,
) -> int | None:
    """Trains cohorts in a pool, `count` submitted at a time; see `Launcher.train`.

    A cohort whose worker died is submitted again, up to `retries` times: its runs resume.
    `named`: the sweep on the command line, its folder by default.
    """
    again, directory = named or sweep_reference(directory), directory.resolve()
    poll = RunPoll(directory, on_event)
    submitted: dict[Any, _Submitted] = {}

    def at_once(_: int) -> None:
        pool.kill(list(submitted))
        remove_stop_file(directory)
        show_cursor()
        say_at_once(quitting(again))

    def announce() -> None:
        stop_file.stop()
        on_event(Stopping())

    with StopFile(directory) as stop_file, stop_on_signals(announce, at_once) as stop:

        def submit(given: Sequence[_Submitted]) -> None:
            tasks = [_task(directory, one, stop_file, retries) for one in given]
            with _sigint_blocked():
                handles = pool.submit(tasks)
            submitted.update(zip(handles, given, strict=True))
            for one in given:
                poll.add(one.names)

        try:
            waiting = [_Submitted(names, retries) for names in cohorts]
            stopping = False
            while submitted or (waiting and not stop):
                free = 0 if stop else count - len(submitted)
                if waiting and free > 0:
                    submit(waiting[:free])
                    del waiting[:free]
                if stop and not stopping:
                    stopping = True
                    poll.look()  # what has started in the meantime ends by the stop file
                    for handle, one in submitted.items():
                        if not poll.started(one.names):
                            pool.withdraw(handle)
                ended = pool.wait(list(submitted), WAIT)
                poll.look()
                for handle in ended:
                    one = submitted.pop(handle)
                    if not _concluded(pool, handle, one, directory, poll, on_event, final=bool(stop)):
                        waiting.append(_Submitted(one.names, one.retries - 1))
        except BaseException:
            stop_file.stop()
            pool.kill(list(submitted))
            raise
        return stop.exit_code


def _task(directory: Path, one: _Submitted, stop_file: StopFile, retries: int) -> Task:
    imports = os.environ.get(VARIABLE, "")
    return Task(str(directory), tuple(one.names), stop_file.launcher, imports, one.retries < retries)


def _concluded(
    pool: Pool,
    handle: Any,
    one: _Submitted,
    directory: Path,
    poll: RunPoll,
    on_event: OnEvent,
    *,
    final: bool,
) -> bool:
    """Sends the last events of a cohort that has ended; False if it is to be submitted again."""
    try:
        outcome = pool.outcome(handle)
    except Lost as error:
        outcome = Outcome(lost=str(error))
        if not final and one.retries > 0:
            on_event(Message(f"{error}; the cohort of {one.names[0]} is resumed."))
            poll.remove(one.names)
            return False
    for text in outcome.messages:
        on_event(Message(text))
    for name in poll.remove(one.names):
        result = outcome.results.get(name)
        if result is not None:
            on_event(RunEnded(name, result))
        elif outcome.exit_code is None and not final:
            message = outcome.lost or "its worker did not report how it ended"
            on_event(RunEnded(name, failed(directory / name, EXIT_CRASH, message)))
    on_event(CohortEnded(tuple(one.names), None))
    return True


@contextmanager
def _sigint_blocked() -> Iterator[None]:
    """Processes that start in the block inherit a blocked SIGINT: Ctrl-C reaches them by the stop file."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


Stamp = tuple[int, int] | None
"""Modification time and size of a file; None if it does not exist."""


@dataclass
class _Polled:
    manifest: Stamp
    rows: Stamp = None
    started: bool = False
    """Whether it was seen in training: what an earlier process left in its directory is no event."""


class RunPoll:
    """Polls the run directories of submitted cohorts and sends events: started, last row, ended."""

    def __init__(self, directory: Path, on_event: OnEvent) -> None:
        self._directory, self._on_event = directory, on_event
        self._runs: dict[str, _Polled] = {}
        self._due = 0.0

    def add(self, names: Iterable[str]) -> None:
        """Starts polling runs."""
        self._runs |= {name: _Polled(self._stamp(name, MANIFEST)) for name in names}

    def remove(self, names: Iterable[str]) -> list[str]:
        """Stops polling runs; returns those whose end was not sent."""
        return [name for name in names if self._runs.pop(name, None) is not None]

    def started(self, names: Iterable[str]) -> bool:
        """Whether any of the runs was seen in training."""
        return any(name not in self._runs or self._runs[name].started for name in names)

    def look(self) -> None:
        """Sends what is new, if a poll is due."""
        begun = time.monotonic()
        if begun < self._due:
            return
        changes = {
            name: change
            for name, run in self._runs.items()
            if (change := self._changed(name, run)) is not None
        }
        started = tuple(name for name, change in changes.items() if change["status"] == "running")
        if started:
            self._on_event(RunsStarted(started))
        for name, run in self._runs.items():
            if run.started and (stamp := self._stamp(name, RECORD)) != run.rows:
                run.rows = stamp
                self._send_row(name)
        for name, change in changes.items():
            if change["status"] in OVER:  # an interrupted run may be queued again
                del self._runs[name]
                result = Result(**{field: change[field] for field in FIELDS} | {"dir": Path(change["dir"])})
                self._on_event(RunEnded(name, result))
        ended = time.monotonic()
        self._due = ended + max(POLL_EVERY, (ended - begun) / POLL_COST)

    def _changed(self, name: str, run: _Polled) -> dict[str, Any] | None:
        """The summary of a run whose manifest has changed to started or ended."""
        stamp = self._stamp(name, MANIFEST)
        if stamp == run.manifest:
            return None
        try:
            about = summary(self._directory / name)
        except StorageError:  # reported when the sweep is read
            return None
        run.manifest = stamp
        starts = about["status"] == "running" and not run.started
        run.started = run.started or starts
        return about if starts or (run.started and about["status"] in OVER) else None

    def _send_row(self, name: str) -> None:
        try:
            row = last_row(self._directory / name)
        except StorageError:
            return
        if "env_steps" in row:
            self._on_event(RunRow(name, figures_of(row)))

    def _stamp(self, name: str, file: str) -> Stamp:
        try:
            about = (self._directory / name / file).stat()
        except OSError:
            return None
        return about.st_mtime_ns, about.st_size
