"""A sweep through Hydra's launcher: one directory, a job below it each, and sweep.json with how they went."""

from __future__ import annotations

import dataclasses
import datetime
import re
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rlcli.config.compose import Composed, hydra_settings
from rlcli.errors import (
    EXIT_CRASH,
    EXIT_DONE,
    EXIT_SIGINT,
    EXIT_SIGTERM,
    RlcliError,
)
from rlcli.runs.directory import new_sweep_dir
from rlcli.runs.files import write_json
from rlcli.sweeps.run import root_of

VERSION = 1
"""Of sweep.json."""

LONGEST_NAME = 100


@dataclasses.dataclass
class Job:
    """One job of a sweep and how it went."""

    name: str
    overrides: tuple[str, ...]
    status: str = "waiting"
    """waiting, running, then finished, failed or interrupted; a stopped sweep leaves jobs waiting."""
    id: str | None = None
    dir: str | None = None
    env_steps: int | None = None
    updates: int | None = None
    eval_return_mean: float | None = None
    exit_code: int | None = None
    message: str | None = None

    def row(self) -> dict[str, Any]:
        """Plain data, as sweep.json holds it."""
        return dataclasses.asdict(self)


@dataclasses.dataclass
class Sweep:
    """The jobs of a sweep and what became of them, mirrored in sweep.json."""

    dir: Path
    overrides: tuple[str, ...]
    jobs: list[Job]
    started: str
    finished: str | None = None
    stopped: int | None = None
    """130 or 143 once a signal stopped it."""

    @property
    def exit_code(self) -> int:
        """The signal's, else 1 when a job failed."""
        if self.stopped is not None:
            return self.stopped
        return EXIT_DONE if all(job.exit_code == EXIT_DONE for job in self.jobs) else EXIT_CRASH

    @property
    def status(self) -> str:
        """running, finished, failed or interrupted."""
        if self.stopped is not None:
            return "interrupted"
        if self.finished is None:
            return "running"
        return "finished" if self.exit_code == EXIT_DONE else "failed"

    def record(self) -> None:
        """Write sweep.json, whole or not at all."""
        content = {
            "version": VERSION,
            "name": self.dir.name,
            "status": self.status,
            "overrides": list(self.overrides),
            "started": self.started,
            "finished": self.finished,
            "jobs": [job.row() for job in self.jobs],
        }
        write_json(self.dir / "sweep.json", content)


class _Terminated(BaseException):
    """SIGTERM between two jobs; no Exception, so that Hydra does not take it for a failed job."""


def run_sweep(
    composed: Sequence[Composed],
    typed: Sequence[str],
    *,
    config_dir: str | None = None,
    quiet: bool = False,
    on_end: Callable[[Job], None] = lambda _: None,
) -> Sweep:
    """Run checked jobs one after another, each in its own directory.

    `typed` are the overrides they were composed from, `on_end` hears of every job as it ends. A failed job
    does not stop the others; a signal stops them all.
    """
    from rlcli.config import hydra_bridge

    directory = new_sweep_dir(composed[0].config, root_of(composed[0]))
    names = job_names(composed)
    jobs = [Job(name, job.overrides) for name, job in zip(names, composed, strict=True)]
    sweep = Sweep(directory, tuple(typed), jobs, started=_now())
    sweep.record()

    def run_job(position: int) -> None:
        if sweep.stopped is None:
            _run_job(sweep, position, composed[position], quiet)
            on_end(sweep.jobs[position])

    settings = hydra_settings(typed, multirun=True, config_dir=config_dir)
    with _terminable():
        try:
            hydra_bridge.multirun(settings, config_dir, directory, run_job)
        except KeyboardInterrupt:
            _stop(sweep, EXIT_SIGINT)
        except _Terminated:
            _stop(sweep, EXIT_SIGTERM)
    sweep.finished = _now()
    sweep.record()
    return sweep


def _stop(sweep: Sweep, code: int) -> None:
    sweep.stopped = code
    for job in sweep.jobs:
        if job.status == "running":
            job.status, job.exit_code, job.message = "interrupted", code, "ended at once"


def _run_job(sweep: Sweep, position: int, composed: Composed, quiet: bool) -> None:
    from rlcli.runs.train import train

    job = sweep.jobs[position]
    directory = sweep.dir / job.name
    job.status, job.dir = "running", str(directory)
    sweep.record()
    try:
        outcome = train([composed.config], [directory], overrides=[composed.overrides], quiet=quiet)[0]
    except RlcliError as error:
        job.status, job.exit_code, job.message = "failed", error.exit_code, str(error)
    except Exception as error:
        job.status, job.exit_code, job.message = "failed", EXIT_CRASH, f"{type(error).__name__}: {error}"
    else:
        job.status, job.exit_code, job.message = outcome.status, outcome.exit_code, outcome.message
        job.id, job.env_steps, job.updates = outcome.id, outcome.env_steps, outcome.updates
        job.eval_return_mean = outcome.eval_return_mean
    if job.exit_code in (EXIT_SIGINT, EXIT_SIGTERM):
        sweep.stopped = job.exit_code
    sweep.record()


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


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
