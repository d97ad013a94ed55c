"""Status of a sweep: its trials with their results, progress, and the best trials.

Without a sampler, jobs that differ only in their seeds are one trial.
"""

from __future__ import annotations

import dataclasses
import datetime
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from rlcli.config.schema.sweep import SweepConfig
from rlcli.errors import StorageError
from rlcli.store.files import read_json
from rlcli.store.lock import holder
from rlcli.store.rows import last_row
from rlcli.sweeps.search.objectives import (
    RETURN,
    Objective,
    best,
    objectives,
    read_settings,
    values_of,
)
from rlcli.sweeps.sweep import FILE, OVER, Job, Sweep

LEFT_OUT = ("seed", "name", "sweep")
"""Keys and groups of overrides that do not belong to a trial."""


@dataclasses.dataclass(frozen=True)
class TrialStatus:
    """A trial with its jobs, one per seed."""

    number: int
    status: str
    """waiting, running, finished, pruned, failed or interrupted."""
    params: dict[str, str]
    values: list[float] | None
    reason: str | None
    jobs: tuple[Job, ...]
    repeats: int | None = None
    """The first trial with the same parameters; None if it is the first itself."""

    def row(self, wanted: Sequence[Objective], config_dir: str | None) -> dict[str, Any]:
        """Plain data."""
        values = dict(zip((one.metric for one in wanted), self.values or [], strict=False))
        return {
            "trial": self.number, "status": self.status, "values": values, "params": self.params,
            "returns": {job.name: job.eval_return_mean for job in self.jobs}, "reason": self.reason,
            "repeats": self.repeats, "command": self.command(config_dir),
        }  # fmt: skip

    def command(self, config_dir: str | None = None) -> str | None:
        """The command line that trains it again; None if it has no jobs yet."""
        if not self.jobs:
            return None
        kept = [text for text in self.jobs[0].overrides if not _of(text, LEFT_OUT)]
        seeds = [
            text.partition("=")[2] for job in self.jobs for text in job.overrides if _of(text, ("seed",))
        ]
        words = ["rlcli", "train", *(["-m"] if len(seeds) > 1 else []), *kept]
        words += [f"seed={','.join(seeds)}"] if seeds else []
        words += ["--config-dir", config_dir] if config_dir is not None else []
        return shlex.join(words)


@dataclasses.dataclass(frozen=True)
class SweepStatus:
    """A sweep's trials and progress."""

    sweep: Sweep
    settings: SweepConfig
    wanted: list[Objective]
    trials: list[TrialStatus]
    planned: int
    """How many trials there will be."""
    steps: int
    """Env steps of all jobs at the end, as far as known."""
    status: str
    finished: str | None

    def best(self) -> list[TrialStatus]:
        """The best finished trial, the first of equals; with several objectives the Pareto front."""
        found = [one for one in self.trials if one.status == "finished" and one.values is not None]
        front = [found[place] for place in best([one.values or [] for one in found], self.wanted)]
        return front if len(self.wanted) > 1 else front[:1]

    @property
    def counts(self) -> Counter[str]:
        """The number of trials by status."""
        return Counter(one.status for one in self.trials)

    @property
    def seconds(self) -> float | None:
        """How long it took, or has taken by now; None if a kill left no end."""
        end = self.finished or (_now() if self.status == "running" else None)
        try:
            begun = datetime.datetime.fromisoformat(self.sweep.started)
            return None if end is None else (datetime.datetime.fromisoformat(end) - begun).total_seconds()
        except (ValueError, TypeError):  # not a time, or one without a zone
            return None

    def row(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "dir": str(self.sweep.dir), "status": self.status, "sampler": self.settings.sampler,
            "objective": [one.metric for one in self.wanted], "trials": self.planned,
            "trials_by_status": self.by_status(),
            "jobs": dict(Counter(job.status for job in self.sweep.jobs)),
            "env_steps": sum(job.env_steps or 0 for job in self.sweep.jobs), "env_steps_in_all": self.steps,
            "started": self.sweep.started, "finished": self.finished, "seconds": self.seconds,
            "best": [one.row(self.wanted, self.sweep.config_dir) for one in self.best()],
        }  # fmt: skip

    def by_status(self) -> dict[str, int]:
        """The number of trials for every status there is."""
        statuses = ("finished", "pruned", "failed", "running", "interrupted", "waiting")
        return {status: self.counts[status] for status in statuses}


def sweep_status(sweep: Sweep) -> SweepStatus:
    """The status of a sweep.

    Raises:
        StorageError: its record, its settings or its study are damaged.
        UserError: Optuna is missing.
    """
    content = read_json(sweep.dir / FILE)
    trained = holder(sweep.dir) is not None
    recorded, end = content.get("status"), content.get("finished")
    status = "running" if trained else "killed" if recorded == "running" else str(recorded)
    finished = end if isinstance(end, str) and not trained else None
    steps = sum(_steps(sweep))
    if not sweep.searches:
        wanted = [Objective(RETURN, True)]
        trials = [
            _trial(sweep, number, jobs, params, trained, wanted)
            for number, (params, jobs) in enumerate(_alike(sweep.jobs))
        ]
        return SweepStatus(sweep, SweepConfig(), wanted, trials, len(trials), steps, status, finished)
    settings = read_settings(sweep.dir)
    wanted = objectives(settings.sweep)
    trials, planned = list(_proposed(sweep, wanted, trained)), settings.sweep.trials or 0
    each = settings.updates * settings.batch_size * settings.sweep.replicas
    steps += each * (planned - len(trials))
    return SweepStatus(sweep, settings.sweep, wanted, trials, planned, steps, status, finished)


def outcome(
    sweep: Sweep, jobs: Sequence[Job], wanted: Sequence[Objective]
) -> tuple[str, list[float] | None, str | None]:
    """How a trial ended whose jobs have all ended: its status, its values, the reason if it failed."""
    failed = [job for job in jobs if job.status == "failed"]
    if failed:
        return "failed", None, f"{failed[0].name}: {failed[0].message}"
    if any(job.status == "pruned" for job in jobs):
        return "pruned", None, None
    values = values_of([last_row(sweep.dir / job.name) for job in jobs], wanted)
    if values is None:
        return "failed", None, f"a last row lacks one of {', '.join(one.metric for one in wanted)}"
    return "finished", values, None


def _proposed(sweep: Sweep, wanted: Sequence[Objective], trained: bool) -> Iterator[TrialStatus]:
    """The trials that a sampler proposed."""
    from rlcli.sweeps.search.study import Study

    members: dict[int, list[Job]] = {}
    for job in sweep.jobs:
        if job.trial is not None:
            members.setdefault(job.trial, []).append(job)
    for trial in Study.open(sweep.dir, wanted).trials():
        jobs = members.get(trial.number, [])
        params = {key: str(value) for key, value in trial.params.items()}
        if trial.status == "running":
            found = _trial(sweep, trial.number, jobs, params, trained, wanted)
        else:
            values = list(trial.values) if trial.values is not None else None
            found = TrialStatus(trial.number, trial.status, params, values, trial.reason, tuple(jobs))
        yield dataclasses.replace(found, repeats=trial.repeats)


def _trial(
    sweep: Sweep,
    number: int,
    jobs: Sequence[Job],
    params: dict[str, str],
    trained: bool,
    wanted: Sequence[Objective],
) -> TrialStatus:
    """A trial whose status follows from its jobs."""
    if jobs and all(job.status in OVER for job in jobs):
        try:
            status, values, reason = outcome(sweep, jobs, wanted)
            return TrialStatus(number, status, params, values, reason, tuple(jobs))
        except StorageError as error:
            return TrialStatus(number, "failed", params, None, str(error), tuple(jobs))
    begun = any(job.status != "waiting" for job in jobs)
    status = ("running" if trained else "interrupted") if begun else "waiting"
    return TrialStatus(number, status, params, None, None, tuple(jobs))


def _alike(jobs: Sequence[Job]) -> list[tuple[dict[str, str], list[Job]]]:
    """Jobs that differ only in their seeds, with the varied settings that they share."""
    found: dict[tuple[str, ...], list[Job]] = {}
    for job in jobs:
        found.setdefault(tuple(text for text in job.varied if not _of(text, ("seed",))), []).append(job)
    return [(dict(_pair(text) for text in varied), members) for varied, members in found.items()]


def _steps(sweep: Sweep) -> Iterator[int]:
    """The env steps each job ends at."""
    for job in sweep.jobs:
        if job.status in OVER:
            yield job.env_steps or 0
        else:
            config = sweep.config(job)
            yield config.updates * config.batch_size


def _of(text: str, keys: Sequence[str]) -> bool:
    key = text.partition("=")[0]
    return key in keys or key.partition(".")[0] in keys


def _pair(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    return key, value


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
