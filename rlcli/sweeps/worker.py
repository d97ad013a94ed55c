"""Worker processes: each trains one cohort of a sweep, for the process pool or for a library.

`python -m rlcli.sweeps.worker SWEEP_DIR DESCRIPTOR` is a worker of the process pool. Its stdin has one line,
a JSON list of the names of the jobs, and then stays open as long as the launching process lives: when it ends
first, the cohort stops as if by SIGTERM, so no worker outlives its sweep. Events go to the descriptor
(`events.py`); stdout and stderr are for prints of any kind.

`run_task` is what joblib, submitit and Ray call in workers of theirs: a `Task` comes in and an `Outcome` goes
back, and the stop file says when to stop (`launchers/stop_file.py`).
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from rlcli.errors import EXIT_CRASH, EXIT_DONE, EXIT_SIGTERM, RlcliError
from rlcli.runs.stop import CODES, handle_signals
from rlcli.store.lock import forget
from rlcli.streams import STDERR, STDIN, prepare, prints_to_stderr
from rlcli.sweeps.events import CohortEnded, Event, Message, RunEnded, RunRow, RunsStarted, Sender, Stopping
from rlcli.sweeps.launchers.stop_file import StopWatcher
from rlcli.text import described, message_of
from rlcli.variables import variables

if TYPE_CHECKING:
    from rlcli.runs.result import Result

EVERY = 0.25
"""Minimum seconds between two rows sent of one run."""
GRACE = 10.0
"""Seconds that threads and children which an environment left behind may delay the end."""


def main() -> None:
    """A worker of the process pool."""
    for number, code in CODES.items():  # until training handles signals, there is nothing to save
        signal.signal(number, lambda *_, code=code: os._exit(code))
    directory, sender = Path(sys.argv[1]), Sender(int(sys.argv[2]))
    lifeline = _own_stdin()
    prints_to_stderr()
    names = _names(lifeline)
    threading.Thread(target=_stop_with_parent, args=(lifeline,), daemon=True).start()
    code = EXIT_CRASH
    try:
        _train_and_send(directory, names, sender)
        code = EXIT_DONE
    finally:
        # Python waits for threads and for children of multiprocessing that are left; this timer does not.
        last = threading.Timer(GRACE, os._exit, (code,))
        last.daemon = True
        last.start()


def _train_and_send(directory: Path, names: list[str], sender: Sender) -> None:
    from rlcli.sweeps.cohort_job import CohortJob, train_cohort
    from rlcli.sweeps.sweep import Sweep

    due: dict[str, float] = {}

    def send(event: Event) -> None:
        match event:
            case RunRow(name):
                now = time.monotonic()
                if now >= due.get(name, 0.0):
                    due[name] = now + EVERY
                    sender.send(event)
            case RunEnded() | Message():
                sender.send(event)
            case RunsStarted() | CohortEnded() | Stopping():
                raise AssertionError("only launchers send these")

    train_cohort(CohortJob.of(Sweep.read(directory), names), send)


def _own_stdin() -> int:
    """Stdin under another number, which children do not inherit; stdin itself is at its end from now on."""
    own = fcntl.fcntl(STDIN, fcntl.F_DUPFD_CLOEXEC, STDERR + 1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, STDIN)
    os.close(null)
    return own


def _names(lifeline: int) -> list[str]:
    line = b""
    while not line.endswith(b"\n"):
        piece = os.read(lifeline, 2**16)
        if not piece:
            sys.exit(EXIT_SIGTERM)  # the launching process is gone
        line += piece
    names: list[str] = json.loads(line)
    return names


def _stop_with_parent(lifeline: int) -> None:
    """Waits for the end of stdin."""
    while os.read(lifeline, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


@dataclass(frozen=True)
class Task:
    """A cohort on its way to a worker of a library."""

    directory: str
    """Of the sweep: absolute, and the same on every machine that trains."""
    names: tuple[str, ...]
    launcher: dict[str, Any]
    """The launching process, as `StopFile.launcher` has it."""
    imports: str
    """Modules that the run directories may name."""
    retried: bool = False
    """Whether an earlier worker had the cohort and is known to be gone."""


@dataclass(frozen=True)
class Outcome:
    """What a worker of a library returns."""

    results: Mapping[str, Result] = dataclasses.field(default_factory=dict)
    """By name of the job."""
    messages: Sequence[str] = ()
    exit_code: int | None = None
    """Of the signal that stopped it."""
    lost: str | None = None
    """Why the cohort could not be trained at all."""


NOT_BEGUN = Outcome()
"""The outcome of a cohort that no worker took."""


class _Signalled(BaseException):
    """A signal outside of training; no Exception, so that nothing takes it for a failed job."""


def run_task(task: Task) -> Outcome:
    """Trains a cohort in this process; raises nothing. The library decides where prints go."""
    from rlcli.sweeps.sweep import FILE

    prepare()
    directory = Path(task.directory)
    if not (directory / FILE).is_file():
        return Outcome(
            lost=f"{directory} was not found on {platform.node()}: workers need the sweep's directory, "
            "on a file system that they share with this machine"
        )
    watcher = StopWatcher(directory, task.launcher)
    if task.retried:
        for name in task.names:
            forget(directory / name)
    results: dict[str, Result] = {}
    messages: list[str] = []
    code: int | None = EXIT_SIGTERM
    lost: str | None = None
    try:
        with _raised_by_signals(), watcher.watching():
            if not watcher.stop_asked:
                code = _train_and_collect(task, results, messages)
    except _Signalled:
        pass
    except Exception as error:
        code, lost = None, message_of(error) if isinstance(error, RlcliError) else described(error)
    finally:
        if watcher.launcher_gone:  # no process waits for the outcome, and none would end this one
            os._exit(EXIT_SIGTERM)
    return Outcome(results, messages, code, lost)


def _train_and_collect(task: Task, results: dict[str, Result], messages: list[str]) -> int | None:
    from rlcli.config.extensions import VARIABLE
    from rlcli.sweeps.cohort_job import CohortJob, train_cohort
    from rlcli.sweeps.sweep import Sweep

    def collect(event: Event) -> None:
        match event:
            case RunEnded(name, result):
                results[name] = result
            case Message(text):
                messages.append(text)

    with variables({VARIABLE: task.imports}, replaced=True):
        return train_cohort(CohortJob.of(Sweep.read(Path(task.directory)), task.names), collect)


@contextmanager
def _raised_by_signals() -> Iterator[None]:
    """Before and after training, while it does not handle signals, there is nothing to save."""

    def on_signal(_: int, __: FrameType | None) -> None:
        raise _Signalled

    with handle_signals(on_signal):
        yield


if __name__ == "__main__":
    main()
