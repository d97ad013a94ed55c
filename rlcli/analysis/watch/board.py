"""State of watched runs: their status, latest figures, course and alerts, refreshed from their files."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rlcli.analysis.alerts import Alert, recorded_rules, silence
from rlcli.config.alerts import Rule
from rlcli.errors import StorageError, UserError
from rlcli.loggers.sparkline import Series
from rlcli.runs.alerts import Alerts
from rlcli.store.directory import find_run, find_sweep, summary
from rlcli.store.lock import holder
from rlcli.store.rows import is_figure
from rlcli.store.tail import Tail
from rlcli.sweeps.sweep import Sweep

COURSES = (
    "train/return_100", "eval/return_mean", "behaviour/kl_mu_pi", "behaviour/ess", "behaviour/clip_fraction",
    "update/entropy", "update/explained_variance",
)  # fmt: skip
"""Metrics whose course is kept."""
TRAINING = "running"
WAITING = "waiting"
GONE = "removed"
DAMAGED = "damaged"
BAD = (DAMAGED, "failed", "killed", GONE)
"""Statuses that need attention, the first one first."""


class Watched:
    """A run as it is watched."""

    def __init__(self, folder: Path, label: str) -> None:
        self.dir, self.label = folder, label
        self.status, self.message = WAITING, ""
        self.about: dict[str, Any] = {}
        self.row: dict[str, float] = {}
        """The latest value of each figure."""
        self.series: dict[str, Series] = {}
        self.alerts: list[Alert] = []
        self._tail = Tail(folder)
        self._update_seconds: float | None = None
        self.rules: tuple[Rule, ...] = ()
        self._alerts: Alerts | None = None
        """Of the rows so far; None before the first."""

    def refresh(self, now: float) -> None:
        """Reads status and new rows; whatever is wrong with the files becomes the run's status."""
        try:
            if (self.dir / "manifest.json").is_file():
                self.about = summary(self.dir)
                self.status, self.message = str(self.about["status"]), str(self.about["message"] or "")
                self._read_rows()
            elif self.about or not self.dir.is_dir():
                self.status, self.message = GONE, "its folder does not exist any more"
        except StorageError as error:
            # Between two looks the folder may be removed, file by file.
            gone = not self.dir.is_dir()
            self.status, self.message = (
                (GONE, "its folder does not exist any more") if gone else (DAMAGED, str(error))
            )
        self.alerts = list(self._warnings(now))

    @property
    def done(self) -> float:
        """Share of its env steps, 0 to 1."""
        total = self.total
        return min(1.0, self.steps / total) if total > 0 else 0.0

    @property
    def steps(self) -> int:
        """Env steps of its last row."""
        return int(self.row.get("env_steps", 0))

    @property
    def total(self) -> int:
        """Env steps at its end."""
        return int(self.about.get("total_steps", 0))

    @property
    def attention(self) -> tuple[float, ...]:
        """Sort key: the run to look at first has the lowest."""
        bad = BAD.index(self.status) if self.status in BAD else len(BAD)
        worst = max((alert.severity for alert in self.alerts), default=0.0)
        return bad, -worst, self.status != TRAINING, self.status == WAITING

    def _read_rows(self) -> None:
        found = self._tail.read()
        if found.anew:
            self.row, self.series, self._update_seconds, self._alerts = {}, {}, None, None
        if found.rows and self._alerts is None:
            self.rules = recorded_rules(self.dir)
            self._alerts = Alerts(self.rules, int(self.about.get("action_dimensions") or 1))
        for row in found.rows:
            assert self._alerts is not None
            self._alerts.add(row)
            figures = {name: float(value) for name, value in row.items() if is_figure(value)}
            before, after = self.row.get("time/elapsed"), figures.get("time/elapsed")
            if before is not None and after is not None and after > before:
                self._update_seconds = after - before
            # An absent figure is undefined for this update, but evaluations are rare.
            kept = {name: value for name, value in self.row.items() if name.startswith(("eval/", "train/"))}
            self.row = kept | figures
            for name in COURSES:
                if name in figures:
                    self.series.setdefault(name, Series()).add(figures[name])

    def _warnings(self, now: float) -> Iterator[Alert]:
        if self.status != TRAINING:
            return
        if self._alerts is not None:
            yield from (Alert(one.alert.text, one.severity) for one in self._alerts.present)
        quiet = silence(self._tail.age(now), self._update_seconds)
        if quiet is not None:
            yield quiet


class Board:
    """All watched runs; runs of a sweep appear as they start."""

    def __init__(self, references: Sequence[str], root: Path, clock: Callable[[], float] = time.time) -> None:
        """Finds the runs.

        Raises:
            UserError: a reference means no run or sweep.
            StorageError: the manifest of the only run, or the record of a sweep, is damaged.
        """
        self._clock = clock
        self._sweeps: list[Path] = []
        self._waiting: dict[Path, int] = {}
        self.runs: dict[Path, Watched] = {}
        for text in references:
            sweep = find_sweep(text, root)
            if sweep is None:
                folder = find_run(text, root)
                if len(references) == 1:
                    summary(folder)  # there would be nothing to watch; beside others its status says so
                self._add(folder)
            else:
                Sweep.read(sweep)
                self._sweeps.append(sweep)
        several = len(self._sweeps) > 1
        self._prefix = {sweep: f"{sweep.name}/" if several else "" for sweep in self._sweeps}
        if not self.runs and not self._sweeps:
            raise UserError("No run was named.", hint="See which runs there are: rlcli runs")
        self.refresh()

    def refresh(self) -> None:
        """Reads what is new."""
        for folder in self._sweeps:
            self._refresh_sweep(folder)
        now = self._clock()
        for run in self.runs.values():
            run.refresh(now)

    @property
    def waiting(self) -> int:
        """Jobs of sweeps that have not started."""
        return sum(self._waiting.values())

    @property
    def training(self) -> bool:
        """Whether a run trains."""
        return any(run.status == TRAINING for run in self.runs.values())

    @property
    def waiting_for_start(self) -> bool:
        """Whether jobs are still to start in a sweep that a process trains."""
        return any(amount and holder(folder) is not None for folder, amount in self._waiting.items())

    @property
    def counts(self) -> Counter[str]:
        """Number of runs by status, those that train first."""
        found = Counter(run.status for run in self.by_attention())
        if self.waiting:
            found[WAITING] += self.waiting
        return found

    def by_attention(self) -> list[Watched]:
        """The runs, those to look at first before the others."""
        return sorted(self.runs.values(), key=lambda run: run.attention)

    @property
    def steps(self) -> tuple[int, int]:
        """Env steps done and in all, of the runs that have started and whose manifest could be read."""
        known = [run for run in self.runs.values() if run.total]
        return sum(run.steps for run in known), sum(run.total for run in known)

    def _add(self, folder: Path, label: str | None = None) -> None:
        known = {path.resolve() for path in self.runs}
        if folder.resolve() not in known:
            self.runs[folder] = Watched(folder, label or folder.name)

    def _refresh_sweep(self, folder: Path) -> None:
        """Adds jobs that have started; a sweep that cannot be read any more keeps those there are."""
        try:
            sweep = Sweep.read(folder)
        except StorageError:
            self._waiting[folder] = 0
            return
        started = [job for job in sweep.jobs if job.status != WAITING]
        self._waiting[folder] = len(sweep.jobs) - len(started)
        for job in started:
            if folder / job.name not in self.runs:
                self._add(folder / job.name, self._prefix[folder] + job.name)


def extremes(runs: Iterable[Watched], metric: str) -> tuple[float | None, float | None]:
    """The lowest and the highest value of a metric's course over runs: one scale for all."""
    found = [limits for run in runs if metric in run.series and (limits := run.series[metric].limits)]
    return min((low for low, _ in found), default=None), max((high for _, high in found), default=None)
