"""How a sweep stands: its trials, what each came to, and which are the best.

Where no sampler asked for trials, jobs that differ in their seeds alone are one.
"""

from __future__ import annotations

import dataclasses
import datetime
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from rlcli.config.schema import SweepConfig
from rlcli.errors import StorageError
from rlcli.store.files import read_json
from rlcli.store.lock import holder
from rlcli.store.rows import last_row
from rlcli.sweeps.base import read_base
from rlcli.sweeps.objectives import RETURN, Objective, best, objectives, values_of
from rlcli.sweeps.sweep import FILE, OVER, Job, Sweep

LEFT_OUT = ("seed", "name", "sweep")
"""Overrides of a job that are not those of its trial."""


@dataclasses.dataclass(frozen=True)
class Attempt:
    """A trial with its jobs, a seed each."""

    number: int
    status: str
    """waiting, running, finished, pruned, failed or interrupted."""
    params: dict[str, str]
    values: list[float] | None
    reason: str | None
    jobs: tuple[Job, ...]
    repeats: int | None = None
    """The first trial with the same parameters, where it is not the first itself."""

    def row(self, wanted: Sequence[Objective], config_dir: str | None) -> dict[str, Any]:
        """Plain data."""
        values = dict(zip((one.metric for one in wanted), self.values or [], strict=False))
        return {
            "trial": self.number, "status": self.status, "values": values, "params": self.params,
            "returns": {job.name: job.eval_return_mean for job in self.jobs}, "reason": self.reason,
            "repeats": self.repeats, "command": self.command(config_dir),
        }  # fmt: skip

    def command(self, config_dir: str | None = None) -> str | None:
        """The command line that trains it again; None while it has no jobs."""
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
class Standing:
    """A sweep as it stands."""

    sweep: Sweep
    settings: SweepConfig
    wanted: list[Objective]
    attempts: list[Attempt]
    trials: int
    """How many there will be."""
    steps: int
    """Env steps of all jobs in the end, as far as they are known."""
    status: str
    finished: str | None

    def best(self) -> list[Attempt]:
        """The best finished one, the first of equals; of several objectives the Pareto front."""
        found = [one for one in self.attempts if one.status == "finished" and one.values is not None]
        front = [found[place] for place in best([one.values or [] for one in found], self.wanted)]
        return front if len(self.wanted) > 1 else front[:1]

    @property
    def counts(self) -> Counter[str]:
        """How many trials stand how."""
        return Counter(one.status for one in self.attempts)

    @property
    def seconds(self) -> float | None:
        """How long it took, or has taken by now; None where a kill left no end."""
        end = self.finished or (_now() if self.status == "running" else None)
        try:
            begun = datetime.datetime.fromisoformat(self.sweep.started)
            return None if end is None else (datetime.datetime.fromisoformat(end) - begun).total_seconds()
        except (ValueError, TypeError):  # not a moment, or one without a zone
            return None

    def row(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "dir": str(self.sweep.dir), "status": self.status, "sampler": self.settings.sampler,
            "objective": [one.metric for one in self.wanted], "trials": self.trials,
            "trials_by_status": self.by_status(),
            "jobs": dict(Counter(job.status for job in self.sweep.jobs)),
            "env_steps": sum(job.env_steps or 0 for job in self.sweep.jobs), "env_steps_in_all": self.steps,
            "started": self.sweep.started, "finished": self.finished, "seconds": self.seconds,
            "best": [one.row(self.wanted, self.sweep.config_dir) for one in self.best()],
        }  # fmt: skip

    def by_status(self) -> dict[str, int]:
        """Every way in which trials may stand, with how many do."""
        ways = ("finished", "pruned", "failed", "running", "interrupted", "waiting")
        return {way: self.counts[way] for way in ways}


def standing(sweep: Sweep) -> Standing:
    """How a sweep stands.

    Raises:
        StorageError: its record, its settings or its study are damaged.
        UserError: Optuna is missing.
    """
    content = read_json(sweep.dir / FILE)
    trained = holder(sweep.dir) is not None
    told, end = content.get("status"), content.get("finished")
    status = "running" if trained else "killed" if told == "running" else str(told)
    finished = end if isinstance(end, str) and not trained else None
    steps = sum(_steps(sweep))
    if not sweep.searches:
        wanted = [Objective(RETURN, True)]
        attempts = [
            _attempt(sweep, number, jobs, params, trained, wanted)
            for number, (params, jobs) in enumerate(_alike(sweep.jobs))
        ]
        return Standing(sweep, SweepConfig(), wanted, attempts, len(attempts), steps, status, finished)
    base = read_base(sweep.dir)
    wanted = objectives(base.sweep)
    attempts, trials = list(_asked(sweep, wanted, trained)), base.sweep.trials or 0
    each = base.updates * base.batch_size * base.sweep.replicas
    steps += each * (trials - len(attempts))
    return Standing(sweep, base.sweep, wanted, attempts, trials, steps, status, finished)


def outcome(
    sweep: Sweep, jobs: Sequence[Job], wanted: Sequence[Objective]
) -> tuple[str, list[float] | None, str | None]:
    """How a trial ended whose jobs are all over: status, values of a finished one, reason of a failed one."""
    failed = [job for job in jobs if job.status == "failed"]
    if failed:
        return "failed", None, f"{failed[0].name}: {failed[0].message}"
    if any(job.status == "pruned" for job in jobs):
        return "pruned", None, None
    values = values_of([last_row(sweep.dir / job.name) for job in jobs], wanted)
    if values is None:
        return "failed", None, f"a last row lacks one of {', '.join(one.metric for one in wanted)}"
    return "finished", values, None


def _asked(sweep: Sweep, wanted: Sequence[Objective], trained: bool) -> Iterator[Attempt]:
    """The trials that a sampler asked for."""
    from rlcli.sweeps.study import Study

    members: dict[int, list[Job]] = {}
    for job in sweep.jobs:
        if job.trial is not None:
            members.setdefault(job.trial, []).append(job)
    for trial in Study.open(sweep.dir, wanted).trials():
        jobs = members.get(trial.number, [])
        params = {key: str(value) for key, value in trial.params.items()}
        if trial.status == "running":
            found = _attempt(sweep, trial.number, jobs, params, trained, wanted)
        else:
            values = list(trial.values) if trial.values is not None else None
            found = Attempt(trial.number, trial.status, params, values, trial.reason, tuple(jobs))
        yield dataclasses.replace(found, repeats=trial.repeats)


def _attempt(
    sweep: Sweep,
    number: int,
    jobs: Sequence[Job],
    params: dict[str, str],
    trained: bool,
    wanted: Sequence[Objective],
) -> Attempt:
    """A trial of which only its jobs tell."""
    if jobs and all(job.status in OVER for job in jobs):
        try:
            status, values, reason = outcome(sweep, jobs, wanted)
            return Attempt(number, status, params, values, reason, tuple(jobs))
        except StorageError as error:
            return Attempt(number, "failed", params, None, str(error), tuple(jobs))
    begun = any(job.status != "waiting" for job in jobs)
    status = ("running" if trained else "interrupted") if begun else "waiting"
    return Attempt(number, status, params, None, None, tuple(jobs))


def _alike(jobs: Sequence[Job]) -> list[tuple[dict[str, str], list[Job]]]:
    """Jobs that differ in their seeds alone, with what they share of what was varied."""
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
