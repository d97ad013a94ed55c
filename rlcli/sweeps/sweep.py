"""A sweep on the disk: its jobs, each with its config frozen before the first starts, and how they stand.

    <sweep>/sweep.json           the jobs and what became of them, written whole whenever that changes
    <sweep>/<job>/config.yaml    there from the start: what the job trains, whatever files change later
    <sweep>/<job>/manifest.json  from when the job has started on: what is true of it
    <sweep>/base.yaml, study.log where a sampler asks for jobs: its settings, and the trials (study.py)

sweep.json is the overview: a process that was killed leaves jobs in it as they were, and `Sweep.read` asks
each job's own manifest what is true.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence
from pathlib import Path
from types import NoneType
from typing import Any

from rlcli.config.compose import Composed
from rlcli.config.schema import RunConfig
from rlcli.config.serialise import from_yaml, to_yaml
from rlcli.errors import EXIT_CRASH, EXIT_DONE, StorageError
from rlcli.store.directory import summary
from rlcli.store.files import read_json, read_text, storage_error, write_all, write_json
from rlcli.store.manifest import FILE as MANIFEST
from rlcli.store.versions import migrated

VERSION = 2
FILE = "sweep.json"
OVER = ("finished", "failed", "pruned")
"""How jobs stand that nobody goes on with unless asked."""
NOBODY = "-"
"""The id in the result of a job that did not come to have one, or to tell of it."""


@dataclasses.dataclass
class Job:
    """One job of a sweep and how it went."""

    name: str
    overrides: tuple[str, ...]
    varied: tuple[str, ...] = ()
    """Of the overrides, those in which it differs from its siblings."""
    trial: int | None = None
    """The number of the trial whose seed it is, where a sampler asks for trials."""
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
"""What is read back of a job; the rest its own manifest tells."""


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
    searches: bool = False
    """Whether a sampler asks for its jobs, trial by trial."""
    config_dir: str | None = None
    """The folder of configs it was begun with, which trials are composed from."""
    _configs: dict[str, RunConfig] = dataclasses.field(default_factory=dict)
    """Of jobs, as far as they are known; frozen, so that none is read twice."""

    @classmethod
    def begin(
        cls, directory: Path, typed: Sequence[str], names: Sequence[str], composed: Sequence[Composed]
    ) -> Sweep:
        """A new sweep, every job's config frozen.

        Raises:
            StorageError: its directory cannot be written to.
        """
        sweep = cls(directory, tuple(typed), [], started=now())
        sweep.add(names, composed)
        sweep.record()
        return sweep

    def add(self, names: Sequence[str], composed: Sequence[Composed], trial: int | None = None) -> list[Job]:
        """More jobs, their configs frozen, not recorded yet; those of one trial, say.

        The folder of a trial's job that is there already was left by a kill before the record.

        Raises:
            StorageError: they cannot be written, or another job's folder is there.
        """
        for name, one in zip(names, composed, strict=True):
            folder = self.dir / name
            try:
                left = trial is not None and not folder.is_symlink() and not (folder / MANIFEST).exists()
                folder.mkdir(exist_ok=left)
            except OSError as error:
                raise storage_error(folder, error) from error
            self._configs[name] = one.config
        write_all(
            {
                self.dir / name / "config.yaml": to_yaml(one.config).encode()
                for name, one in zip(names, composed, strict=True)
            }
        )
        jobs = [
            Job(name, one.overrides, one.varied, trial, dir=str(self.dir / name))
            for name, one in zip(names, composed, strict=True)
        ]
        self.jobs += jobs
        return jobs

    @classmethod
    def read(cls, directory: Path) -> Sweep:
        """An earlier sweep, its jobs as they really are.

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
        """Asks the job's own manifest, if it has one by now, how it stands; a job may fail before it has."""
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
        """The signal's, else 1 when a job did not come to its end."""
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
    trial = about.get("trial")  # sweeps of before there were trials have none
    if not (trial is None or (type(trial) is int and trial >= 0)):
        wrong.append("trial")
    if wrong:
        raise TypeError(f"it makes no sense of a job's {', '.join(wrong)}")
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
