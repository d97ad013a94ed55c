"""Sweep on the disk: its jobs, each with its config frozen before the first starts, and their state.

    <sweep>/sweep.json           the jobs and their results, written whole at each change
    <sweep>/<job>/config.yaml    from the start: what the job trains, whatever config files change later
    <sweep>/<job>/manifest.json  once the job has started: its state
    <sweep>/base.yaml, study.log with a sampler: its settings, and the trials (search/study.py)

sweep.json is an overview: a killed process leaves it out of date, so `Sweep.read` takes the state of each job
from the job's own manifest.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any

from rlcli.backends.kernel import decided
from rlcli.config.compose import Composed
from rlcli.config.schema.run import RunConfig
from rlcli.config.serialise import from_yaml, to_yaml
from rlcli.errors import EXIT_CRASH, EXIT_DONE, StorageError
from rlcli.store import own_runs
from rlcli.store.directory import summary
from rlcli.store.files import read_json, read_text, storage_error, write_all, write_json
from rlcli.store.manifest import FILE as MANIFEST
from rlcli.store.versions import migrated

if TYPE_CHECKING:
    from rlcli.store.start_file import Beginning

VERSION = 2
FILE = "sweep.json"
OVER = ("finished", "failed", "pruned")
"""States of jobs that a resume does not train again unless asked to."""
NO_ID = "-"
"""The id in the result of a job that got none, or did not report it."""


@dataclasses.dataclass
class Job:
    """One job of a sweep, its state and its result."""

    name: str
    overrides: tuple[str, ...]
    varied: tuple[str, ...] = ()
    """The overrides in which it differs from the other jobs."""
    trial: int | None = None
    """With a sampler, the number of the trial that it is a seed of."""
    status: str = "waiting"
    """waiting, running, then finished, failed, pruned or interrupted; a stopped sweep leaves jobs waiting.
    Read from the disk also killed or damaged.
    """
    id: str | None = None
    dir: str | None = None
    env_steps: int | None = None
    updates: int | None = None
    eval_return_mean: float | None = None
    best_return_mean: float | None = None
    exit_code: int | None = None
    message: str | None = None

    def row(self) -> dict[str, Any]:
        """Plain data, as sweep.json holds it."""
        return dataclasses.asdict(self)


TYPES: dict[str, tuple[type, ...]] = {
    "name": (str,), "overrides": (list,), "varied": (list,), "status": (str,), "exit_code": (int, NoneType),
    "message": (str, NoneType),
}  # fmt: skip
"""What is read back of a job; the rest is in the job's manifest."""


@dataclasses.dataclass
class Sweep:
    """The jobs of a sweep and their results, mirrored in sweep.json."""

    dir: Path
    overrides: tuple[str, ...]
    jobs: list[Job]
    started: str
    finished: str | None = None
    stopped: int | None = None
    """130 or 143 once a signal stopped it."""
    searches: bool = False
    """Whether a sampler proposes its jobs, trial by trial."""
    config_dir: str | None = None
    """The config folder given when it started, which trials are composed from."""
    _configs: dict[str, RunConfig] = dataclasses.field(default_factory=dict)
    """Configs of jobs that were read; frozen, so each is read once."""

    @classmethod
    def begin(
        cls,
        directory: Path,
        typed: Sequence[str],
        names: Sequence[str],
        composed: Sequence[Composed],
        beginnings: Sequence[Beginning] = (),
    ) -> Sweep:
        """A new sweep, every job's config frozen; `beginnings` are what the jobs begin from, if forks.

        Raises:
            StorageError: its directory cannot be written to.
        """
        from rlcli.store.start_file import write_beginning  # needs torch, and reading a sweep does not

        sweep = cls(directory, tuple(typed), [], started=now())
        sweep.add(names, composed)
        for name, beginning in zip(names, beginnings, strict=bool(beginnings)):
            write_beginning(directory / name, beginning)
        sweep.record()
        return sweep

    def add(self, names: Sequence[str], composed: Sequence[Composed], trial: int | None = None) -> list[Job]:
        """Adds jobs and freezes their configs, kernels decided; the caller records them.

        A folder of a trial's job that exists already was left by a kill before the record.

        Raises:
            StorageError: they cannot be written, or another job's folder exists.
        """
        from rlcli.envs.registry import describe

        for name, one in zip(names, composed, strict=True):
            folder = self.dir / name
            try:
                left = trial is not None and not folder.is_symlink() and not (folder / MANIFEST).exists()
                folder.mkdir(exist_ok=left)
            except OSError as error:
                raise storage_error(folder, error) from error
            self._configs[name] = decided(one.config, describe(one.config.env))
        write_all({self.dir / name / "config.yaml": to_yaml(self._configs[name]).encode() for name in names})
        for name in names:
            own_runs.remember(self.dir / name, self._configs[name])
        jobs = [
            Job(name, one.overrides, one.varied, trial, dir=str(self.dir / name))
            for name, one in zip(names, composed, strict=True)
        ]
        self.jobs += jobs
        return jobs

    @classmethod
    def read(cls, directory: Path) -> Sweep:
        """An earlier sweep, with the true state of its jobs.

        Raises:
            StorageError: sweep.json is missing, damaged or of another version.
        """
        path = directory / FILE
        content = migrated(path, read_json(path), VERSION)
        try:
            jobs = [_job(directory, about) for about in content["jobs"]]
            if len({job.name for job in jobs}) < len(jobs):
                raise TypeError("two jobs have one name")
            sweep = cls(
                directory, tuple(map(str, content["overrides"])), jobs, started=str(content["started"]),
                searches=content.get("searches") is True, config_dir=_text(content.get("config_dir")),
            )  # fmt: skip
        except KeyError as error:
            raise StorageError(f"{path} is damaged: it lacks {error}.") from error
        except (TypeError, OSError) as error:
            raise StorageError(f"{path} is damaged: {error}.") from error
        for job in sweep.jobs:
            sweep.refresh(job)
        return sweep

    def config(self, job: Job) -> RunConfig:
        """The frozen config of a job."""
        if job.name not in self._configs:
            path = self.dir / job.name / "config.yaml"
            self._configs[job.name] = from_yaml(read_text(path), str(path))
        return self._configs[job.name]

    def refresh(self, job: Job) -> None:
        """Takes a job's state from its manifest, if there is one; a job may fail before it has one."""
        if not (self.dir / job.name / MANIFEST).exists():
            if job.status != "failed":
                job.status, job.exit_code, job.message = "waiting", None, None
            return
        try:
            about = summary(self.dir / job.name)
        except StorageError as error:
            job.status, job.exit_code, job.message = "damaged", error.exit_code, str(error)
            return
        for name in ("id", "status", "env_steps", "updates", "eval_return_mean", "best_return_mean",
                     "exit_code", "message"):  # fmt: skip
            setattr(job, name, about[name])

    @property
    def exit_code(self) -> int:
        """That of the signal, else 1 if a job did not end well."""
        if self.stopped is not None:
            return self.stopped
        ended = all(job.status in ("finished", "pruned") for job in self.jobs)
        return EXIT_DONE if ended else EXIT_CRASH

    @property
    def status(self) -> str:
        """running, finished, failed or interrupted."""
        if self.stopped is not None:
            return "interrupted"
        if self.finished is None:
            return "running"
        return "finished" if self.exit_code == EXIT_DONE else "failed"

    def record(self) -> None:
        """Writes sweep.json, whole or not at all."""
        content = {
            "version": VERSION,
            "name": self.dir.name,
            "status": self.status,
            "overrides": list(self.overrides),
            "started": self.started,
            "finished": self.finished,
            "searches": self.searches,
            "config_dir": self.config_dir,
            "jobs": [job.row() for job in self.jobs],
        }
        write_json(self.dir / FILE, content)


def _job(directory: Path, about: dict[str, Any]) -> Job:
    wrong = [name for name, types in TYPES.items() if type(about[name]) not in types]
    trial = about.get("trial")  # older records have none
    if not (trial is None or (type(trial) is int and trial >= 0)):
        wrong.append("trial")
    if wrong:
        raise TypeError(f"wrong values of a job's {', '.join(wrong)}")
    name = about["name"]
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise TypeError(f"{name!r} names no folder of a job")
    if (directory / name).is_symlink() or not (directory / name).is_dir():
        raise TypeError(f"there is no folder {name!r}")
    return Job(
        name, tuple(map(str, about["overrides"])), tuple(map(str, about["varied"])), trial, about["status"],
        dir=str(directory / name), exit_code=about["exit_code"], message=about["message"],
    )  # fmt: skip


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def now() -> str:
    """UTC, to the second, as text that sorts by time."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
