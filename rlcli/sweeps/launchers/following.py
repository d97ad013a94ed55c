"""How jobs stand that train in workers without a pipe: their run directories tell, asked now and then."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlcli.errors import StorageError
from rlcli.runs.train import Result
from rlcli.store.directory import summary
from rlcli.store.manifest import FILE as MANIFEST
from rlcli.store.rows import RECORD, last_row
from rlcli.sweeps.launchers.interface import Hear
from rlcli.sweeps.sweep import OVER

EVERY = 1.0
"""Least seconds between two looks."""
COST = 0.05
"""Greatest share of the time that looking may take."""
FIELDS = [field.name for field in dataclasses.fields(Result)]

Stamp = tuple[int, int] | None
"""What changes with a file: when it was written, and its size; None when it is not there."""


@dataclass
class _Job:
    manifest: Stamp
    rows: Stamp = None
    begun: bool = False
    """Whether it was seen in training: what an earlier process left is no news."""


class Following:
    """Tells of jobs while their cohorts are away: that they began, their last rows, that they ended."""

    def __init__(self, directory: Path, hear: Hear) -> None:
        self._directory, self._hear = directory, hear
        self._jobs: dict[str, _Job] = {}
        self._due = 0.0

    def follow(self, names: Iterable[str]) -> None:
        """From now on, these too."""
        self._jobs |= {name: _Job(self._stamp(name, MANIFEST)) for name in names}

    def leave(self, names: Iterable[str]) -> list[str]:
        """No longer these. Those whose end was not told."""
        return [name for name in names if self._jobs.pop(name, None) is not None]

    def begun(self, names: Iterable[str]) -> bool:
        """Whether any of them was seen in training."""
        return any(name not in self._jobs or self._jobs[name].begun for name in names)

    def look(self) -> None:
        """Tells what is new, if it is time to look."""
        started = time.monotonic()
        if started < self._due:
            return
        fresh = {
            name: news for name, job in self._jobs.items() if (news := self._news(name, job)) is not None
        }
        begun = [name for name, news in fresh.items() if news["status"] == "running"]
        if begun:
            self._hear("begun", begun)
        for name, job in self._jobs.items():
            if job.begun and (stamp := self._stamp(name, RECORD)) != job.rows:
                job.rows = stamp
                self._tell_row(name)
        for name, news in fresh.items():
            if news["status"] in OVER:  # one that was interrupted may be queued again
                del self._jobs[name]
                self._hear("result", (name, {field: news[field] for field in FIELDS}))
        looked = time.monotonic()
        self._due = looked + max(EVERY, (looked - started) / COST)

    def _news(self, name: str, job: _Job) -> dict[str, Any] | None:
        """What a manifest says that has changed, if that matters."""
        stamp = self._stamp(name, MANIFEST)
        if stamp == job.manifest:
            return None
        try:
            about = summary(self._directory / name)
        except StorageError:  # whoever reads the sweep says so
            return None
        job.manifest = stamp
        begins = about["status"] == "running" and not job.begun
        job.begun = job.begun or begins
        return about if begins or (job.begun and about["status"] in OVER) else None

    def _tell_row(self, name: str) -> None:
        try:
            row = last_row(self._directory / name)
        except StorageError:
            return
        if "env_steps" in row:
            self._hear("row", (name, row))

    def _stamp(self, name: str, file: str) -> Stamp:
        try:
            about = (self._directory / name / file).stat()
        except OSError:
            return None
        return about.st_mtime_ns, about.st_size
