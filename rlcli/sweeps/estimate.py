"""Cost of a command before it trains: updates, time and memory, from updates measured in memory.

Jobs are divided into cohorts as training divides them. Each shape and size of cohort is measured once.
Nothing is written to disk.
"""

from __future__ import annotations

import dataclasses
import heapq
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

from rlcli.config.command import Command
from rlcli.config.compose import Composed
from rlcli.config.launchers import Launching, Ray
from rlcli.config.schema.run import RunConfig
from rlcli.config.search import Search
from rlcli.config.shape import shape
from rlcli.envs import registry
from rlcli.runs.evaluation_schedule import Decision, EvaluationSchedule, decision, longest_evaluation
from rlcli.runs.failures import outcome
from rlcli.sweeps.cohorts import cohorts, this_machine, workers
from rlcli.sweeps.launchers.table import opened
from rlcli.sweeps.measure import Measured, measure

PATIENCE = 30.0
"""Seconds after which no further shape is measured: its cost is derived from the others'."""


@dataclass(frozen=True)
class CohortEstimate:
    """Cost of one cohort; of a single run, a cohort of one."""

    algo: str
    env: str
    runs: int
    updates: int
    """Of its longest run."""
    batch_size: int
    """Env steps of one update of one run."""
    env_steps: int
    """Of all its runs."""
    evaluations: int
    """Of all its runs."""
    episodes: int
    """Per evaluation."""
    evaluation_seconds: float | None
    """Of all evaluations if every episode reaches its time limit; None without a limit, or not measured."""
    seconds_per_update: float | None
    memory: int | None
    gpu_memory: int | None
    measured_updates: int
    """0: derived from other cohorts, or not known."""
    failure: str | None = None
    """Why its first update failed."""
    exit_code: int = 0

    @property
    def seconds(self) -> float | None:
        """Time of its updates."""
        return None if self.seconds_per_update is None else self.updates * self.seconds_per_update


@dataclass(frozen=True)
class Estimate:
    """Cost of a command."""

    jobs: int
    cohorts: tuple[CohortEstimate, ...]
    side_by_side: int
    """Maximum number of cohorts that train at the same time."""
    rounds: int = 1
    """Batches of trials of a search, each of which trains these cohorts."""
    trials: int | None = None
    """Trials of a search."""
    memory_free: int = 0
    """Free bytes of this machine."""
    elsewhere: str | None = None
    """Where a launcher trains, if that is not this machine."""

    @property
    def scale(self) -> float:
        """Jobs per job of `cohorts`: in a search, the number of batches, the last perhaps a part of one."""
        return self.jobs / sum(one.runs for one in self.cohorts)

    @property
    def env_steps(self) -> int:
        """Env steps of all jobs."""
        return round(self.scale * sum(one.env_steps for one in self.cohorts))

    @property
    def evaluations(self) -> int:
        """Evaluations of all jobs."""
        return round(self.scale * sum(one.evaluations for one in self.cohorts))

    @property
    def seconds(self) -> float | None:
        """Time of the updates of all jobs, cohorts side by side; None where one could not be measured."""
        each = [one.seconds for one in self.cohorts]
        known = [seconds for seconds in each if seconds is not None]
        return self.scale * _makespan(known, self.side_by_side) if len(known) == len(each) else None

    @property
    def evaluation_seconds(self) -> float | None:
        """Maximum time of all evaluations; None where there is no maximum."""
        each = [one.evaluation_seconds for one in self.cohorts]
        known = [seconds for seconds in each if seconds is not None]
        return self.scale * _makespan(known, self.side_by_side) if len(known) == len(each) else None

    @property
    def memory(self) -> int | None:
        """Peak bytes of the largest cohorts that may train at the same time."""
        known = sorted((one.memory for one in self.cohorts if one.memory is not None), reverse=True)
        return sum(known[: self.side_by_side]) or None

    @property
    def exit_code(self) -> int:
        """Exit code of a cohort whose first update failed."""
        return next((one.exit_code for one in self.cohorts if one.failure is not None), 0)


def estimate_jobs(jobs: Sequence[Composed], command: Command) -> Estimate:
    """Cost of a command's jobs: one run, or the jobs of a sweep."""
    configs = [job.config.resolved() for job in jobs]
    if not command.multirun:
        return Estimate(1, _costs([configs]), 1, memory_free=this_machine().memory)
    parts, count, place = _divided(configs, command.launching)
    groups = [[configs[position] for position in part] for part in parts]
    return Estimate(
        len(jobs), _costs(groups), count, memory_free=this_machine().memory, elsewhere=place
    )  # fmt: skip


def estimate_search(search: Search) -> Estimate:
    """Cost of a search, as if every trial had the shape of the first and none were pruned."""
    config, seeds = search.config.resolved(), search.settings.replicas
    batch = min(search.parallel, search.trials)
    trials = [trial for trial in range(batch) for _ in range(seeds)]
    parts, count, place = _divided([config] * len(trials), search.command.launching, trials)
    groups = [[config] * len(part) for part in parts]
    return Estimate(
        search.trials * seeds,
        _costs(groups),
        count,
        rounds=-(-search.trials // batch),
        trials=search.trials,
        memory_free=this_machine().memory,
        elsewhere=place,
    )


def _divided(
    configs: Sequence[RunConfig], launching: Launching, trials: Sequence[int] = ()
) -> tuple[list[list[int]], int, str | None]:
    """Positions of the jobs of each cohort, how many train side by side, and where if not here."""
    place = None
    if isinstance(launching.settings, Ray):  # opening it would start or ask a cluster
        machine, place = this_machine(), "Ray divides them for its cluster, here for this machine"
    else:
        with opened(launching) as launcher:
            machine = launcher.machine(this_machine())
            place = launcher.place if launching.elsewhere else None
    parts = cohorts(configs, machine, trials)
    return parts, min(workers(configs[0], machine), len(parts)), place


def _costs(groups: Sequence[Sequence[RunConfig]]) -> tuple[CohortEstimate, ...]:
    """Cost of each cohort; those of one shape and size are measured once, until patience ends."""
    deadline = time.monotonic() + PATIENCE
    found: dict[str, Measured | Exception | None] = {}
    keys = [json.dumps([shape(group[0]), len(group)], sort_keys=True, default=str) for group in groups]
    for key, group in zip(keys, groups, strict=True):
        if key not in found:
            late = bool(found) and time.monotonic() > deadline
            found[key] = None if late else _attempt(group)
    costs = [_cost(group, found[key]) for key, group in zip(keys, groups, strict=True)]
    return tuple(_derived(one, costs) for one in costs)


def _attempt(group: Sequence[RunConfig]) -> Measured | Exception:
    try:
        return measure(group)
    except Exception as error:
        return error


def _cost(group: Sequence[RunConfig], found: Measured | Exception | None) -> CohortEstimate:
    first = group[0]
    measured = found if isinstance(found, Measured) else None
    code, failure = outcome(found) if isinstance(found, Exception) else (0, None)
    return CohortEstimate(
        algo=first.algo.name,
        env=first.env.id,
        runs=len(group),
        updates=max(one.updates for one in group),
        batch_size=first.batch_size,
        env_steps=sum(one.updates * one.batch_size for one in group),
        evaluations=_evaluations(group, measured),
        episodes=first.eval.episodes,
        evaluation_seconds=_longest_evaluations(group, measured),
        seconds_per_update=None if measured is None else measured.seconds_per_update,
        memory=None if measured is None else measured.memory,
        gpu_memory=None if measured is None else measured.gpu_memory,
        measured_updates=0 if measured is None else measured.updates,
        failure=failure,
        exit_code=code,
    )


def _longest_evaluations(group: Sequence[RunConfig], measured: Measured | None) -> float | None:
    """Seconds of all evaluations of a cohort if every episode reaches its time limit."""
    count = _evaluations(group, measured)
    if count == 0:
        return 0.0
    longest = _longest_evaluation(group[0], measured)
    return None if longest is None else count * longest


def _longest_evaluation(config: RunConfig, measured: Measured | None) -> float | None:
    limit = registry.describe(config.env).max_episode_steps
    return None if measured is None else longest_evaluation(config, limit, measured.evaluation_step)


def _evaluations(group: Sequence[RunConfig], measured: Measured | None) -> int:
    """Number of evaluations of a cohort; where its first one decides, as the measured times would."""
    undecided = [one for one in group if EvaluationSchedule.of(one).undecided]
    chosen = None
    if undecided and measured is not None:
        config, longest = undecided[0], _longest_evaluation(undecided[0], measured)
        training = config.updates * measured.seconds_per_update / len(group)
        chosen = decision(config, longest or 0.0, training)
    return sum(evaluations(one, chosen) for one in group)


def evaluations(config: RunConfig, chosen: Decision | None = None) -> int:
    """Number of evaluations of a run; see `runs.cadence.evaluation_due`."""
    if config.eval.episodes == 0:
        return 0
    schedule = EvaluationSchedule.of(config)
    if schedule.undecided and chosen is not None:
        schedule = schedule.decided(chosen)
    if schedule.every == 0:
        return 1
    before_the_last = config.updates - 1
    return 1 + min(before_the_last, before_the_last * config.batch_size // schedule.every)


def _derived(one: CohortEstimate, costs: Sequence[CohortEstimate]) -> CohortEstimate:
    """The cost of a cohort that was not measured, at the others' mean cost per env step."""
    known = [cost for cost in costs if cost.seconds_per_update is not None]
    if one.seconds_per_update is not None or one.failure is not None or not known:
        return one
    per_step = sum((cost.seconds_per_update or 0.0) / (cost.batch_size * cost.runs) for cost in known)
    return dataclasses.replace(
        one,
        seconds_per_update=per_step / len(known) * one.batch_size * one.runs,
        memory=max(cost.memory or 0 for cost in known),
    )


def _makespan(seconds: Sequence[float], side_by_side: int) -> float:
    """Time until all are done, each started as soon as one of the places is free."""
    free = [0.0] * side_by_side
    for one in seconds:
        heapq.heappush(free, heapq.heappop(free) + one)
    return max(free)
