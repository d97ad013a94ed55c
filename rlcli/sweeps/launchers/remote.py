"""What runs in a worker of joblib, submitit or Ray: one cohort, of whose course the run directories tell."""

from __future__ import annotations

import dataclasses
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from rlcli.errors import EXIT_SIGTERM, RlcliError
from rlcli.runs.stop import handle_signals
from rlcli.store.admission import VARIABLE
from rlcli.store.lock import forget
from rlcli.streams import prepare
from rlcli.sweeps.launchers.order import Watcher
from rlcli.sweeps.sweep import FILE
from rlcli.text import described, message_of


@dataclass(frozen=True)
class Task:
    """A cohort on its way to a worker: plain data only."""

    directory: str
    """Of the sweep; absolute, and the same on every machine that trains."""
    names: tuple[str, ...]
    starter: dict[str, Any]
    """The process that watches over the sweep."""
    imports: str
    """Modules that its run directories may name."""
    retried: bool = False
    """Whether an earlier worker had it, and is known to be gone."""


Outcome = dict[str, Any]
"""`results`, by name of the job; `said`, messages; `code`, of the signal that stopped it; `lost`, why it
could not be trained at all.
"""


class _Halted(BaseException):
    """A signal outside of training; no Exception, so that nothing takes it for a failed job."""


NOT_BEGUN: Outcome = {"results": {}, "said": [], "code": None, "lost": None}
"""Of a cohort that no worker took."""


def carry_out(task: Task) -> Outcome:
    """Trains a cohort in this process, whose prints go wherever the library has them go, and cannot fail."""
    prepare()
    directory = Path(task.directory)
    results: dict[str, Any] = {}
    said: list[str] = []
    if not (directory / FILE).is_file():
        message = (
            f"{directory} is not to be found on {platform.node()}: workers need the sweep's directory, "
            "on a file system that they share with this machine"
        )
        return NOT_BEGUN | {"lost": message}
    watcher = Watcher(directory, task.starter)
    if task.retried:
        for name in task.names:
            forget(directory / name)
    code: int | None = EXIT_SIGTERM
    lost: str | None = None
    try:
        with _halted_by_signals(), watcher.watching():
            if not watcher.told_to_stop:
                code = _train(task, results, said)
    except _Halted:
        pass
    except Exception as error:
        code, lost = None, message_of(error) if isinstance(error, RlcliError) else described(error)
    finally:
        if watcher.alone:  # nobody waits for what comes of it, and nobody would end this process
            os._exit(EXIT_SIGTERM)
    return {"results": results, "said": said, "code": code, "lost": lost}


def _train(task: Task, results: dict[str, Any], said: list[str]) -> int | None:
    from rlcli.runs.train import Result, Verdict
    from rlcli.sweeps.unit import train_unit

    def ended(name: str, result: Result) -> None:
        results[name] = dataclasses.asdict(result) | {"dir": str(result.dir)}

    with variable(VARIABLE, task.imports):
        return train_unit(
            Path(task.directory),
            task.names,
            on_row=lambda *_: Verdict.CONTINUE,
            on_end=ended,
            tell=said.append,
        )


@contextmanager
def variable(name: str, value: str) -> Iterator[None]:
    """An environment variable for the length of the block, as it was before afterwards."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


@contextmanager
def _halted_by_signals() -> Iterator[None]:
    """Until training listens, and once it has ended, there is nothing to bring to an end."""

    def heard(_: int, __: FrameType | None) -> None:
        raise _Halted

    with handle_signals(heard):
        yield
