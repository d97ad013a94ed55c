"""Cohort job: trains one cohort of a sweep in this process, new runs and interrupted ones, to its end."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from rlcli.backends.native import NativeSession
from rlcli.backends.session import Failure, Row
from rlcli.config.schema.run import RunConfig
from rlcli.config.shape import shape
from rlcli.errors import EXIT_CRASH, RlcliError
from rlcli.extend.importing import complete
from rlcli.runs.result import Result
from rlcli.runs.resume import resume_together
from rlcli.runs.stop import CODES
from rlcli.runs.train import Verdict, train
from rlcli.store.manifest import FILE as MANIFEST
from rlcli.sweeps.events import Message, OnEvent, RunEnded, RunRow, figures_of
from rlcli.sweeps.preflight import CHECKS
from rlcli.sweeps.search.pruner import cohort_pruner
from rlcli.sweeps.sweep import NO_ID, Sweep
from rlcli.text import described, message_of

MKL_MODE = "MKL_CBWR"
"""MKL's variable for products that do not depend on memory addresses; AUTO keeps its fastest kernels."""

OnStop = Callable[[str], None]
"""Is called once a signal has asked for the end, with the time that the update in progress still takes."""


@dataclass(frozen=True)
class CohortJob:
    """Jobs of one shape that train together, each in `directory`/name."""

    directory: Path
    names: Sequence[str]
    configs: Sequence[RunConfig]
    overrides: Sequence[Sequence[str]]
    trials: Sequence[int | None]
    """The trial each job is a seed of; None where there is no sampler."""

    @classmethod
    def of(cls, sweep: Sweep, names: Sequence[str]) -> CohortJob:
        """Jobs of a sweep, each with its frozen config."""
        jobs = {job.name: job for job in sweep.jobs}
        return cls(
            sweep.dir,
            names,
            [sweep.config(jobs[name]) for name in names],
            [jobs[name].overrides for name in names],
            [jobs[name].trial for name in names],
        )

    @property
    def dirs(self) -> list[Path]:
        """The run directories."""
        return [self.directory / name for name in self.names]

    def subset(self, positions: Sequence[int]) -> CohortJob:
        """The jobs at some positions."""
        return CohortJob(
            self.directory,
            [self.names[one] for one in positions],
            [self.configs[one] for one in positions],
            [self.overrides[one] for one in positions],
            [self.trials[one] for one in positions],
        )


def train_cohort(job: CohortJob, on_event: OnEvent, on_stop: OnStop = lambda _: None) -> int | None:
    """Trains a cohort to its end, together where each run's numbers stay those of the lone run.

    A run that cannot start, or whose training raises, ends as failed; the others train on. After a signal the
    rest is left as it is. Returns the signal's exit code, else None.
    """
    try:
        job = dataclasses.replace(job, configs=[complete(config) for config in job.configs])
    except RlcliError as error:  # a module of theirs is not there in this process
        for one in job.dirs:
            on_event(RunEnded(one.name, failed(one, error.exit_code, message_of(error))))
        return None
    begun = [position for position, one in enumerate(job.dirs) if (one / MANIFEST).is_file()]
    fresh = [position for position in range(len(job.names)) if position not in begun]
    for positions in (fresh, begun):
        chosen = job.subset(positions)
        for group in _groups(chosen.configs, on_event):
            training = _Group(chosen.subset(group), positions is begun, on_event, on_stop)
            code = training.train()
            if code is not None:
                return code
    return None


def _groups(configs: Sequence[RunConfig], on_event: OnEvent) -> list[list[int]]:
    """All positions together, or one by one where training together would change numbers on this machine."""
    everyone = list(range(len(configs)))
    if len(configs) < 2 or exact_together(configs):
        return [everyone] if everyone else []
    message = (
        f"On this machine {len(configs)} runs trained together round differently than alone: "
        "they train one by one."
    )
    on_event(Message(" ".join([message, *mkl_advice()])))
    return [[position] for position in everyone]


def mkl_advice() -> list[str]:
    """The setting of MKL that may make runs together round as alone; empty where one is set already."""
    if MKL_MODE in os.environ:
        return []
    return [f"With {MKL_MODE}=AUTO in the environment they may round alike."]


class _Group:
    """Runs that train together; either all are new or all resume."""

    def __init__(self, job: CohortJob, resumes: bool, on_event: OnEvent, on_stop: OnStop) -> None:
        self._job, self._resumes = job, resumes
        self._on_event, self._on_stop = on_event, on_stop
        self._ended: set[str] = set()

    def train(self) -> int | None:
        """Trains the runs; the exit code of a signal."""
        try:
            return self._train(self._job)
        except RlcliError as error:
            left = [name for name in self._job.names if name not in self._ended]
            if self._resumes and len(left) > 1:
                return self._one_by_one(left)
            self._fail(left, error.exit_code, message_of(error))
        except Exception as error:
            left = [name for name in self._job.names if name not in self._ended]
            self._fail(left, EXIT_CRASH, described(error))
        return None

    def _train(self, job: CohortJob) -> int | None:
        pruner = cohort_pruner(job.directory, job.names, job.configs, job.trials)

        def on_row(run: int, row: Row) -> Verdict:
            self._on_event(RunRow(job.names[run], figures_of(row)))
            if pruner is not None and pruner.ends(job.names[run], row):
                return Verdict.PRUNE
            return Verdict.CONTINUE

        def on_end(run: int, result: Result) -> None:
            self._ended.add(job.names[run])
            self._on_event(RunEnded(job.names[run], result))

        if self._resumes:
            results = resume_together(
                job.dirs, checks=CHECKS, on_row=on_row, on_end=on_end, on_signal=self._on_stop, quiet=True
            )
        else:
            results = train(
                job.configs, job.dirs, overrides=job.overrides, on_row=on_row, on_end=on_end,
                on_signal=self._on_stop, quiet=True,
            )  # fmt: skip
        codes = [result.exit_code for result in results if result.exit_code in CODES.values()]
        return codes[0] if codes else None

    def _one_by_one(self, names: Sequence[str]) -> int | None:
        """Resumes each run alone, so that one that cannot resume does not stop the others."""
        for name in names:
            alone = self._job.subset([list(self._job.names).index(name)])
            code = _Group(alone, self._resumes, self._on_event, self._on_stop).train()
            if code is not None:
                return code
        return None

    def _fail(self, names: Sequence[str], exit_code: int, message: str) -> None:
        for name in names:
            self._on_event(RunEnded(name, failed(self._job.directory / name, exit_code, message)))


def failed(run_dir: Path, exit_code: int, message: str) -> Result:
    """The result of a run that has none of its own."""
    return Result(run_dir, NO_ID, "failed", 0, 0, None, exit_code, message)


_found: dict[tuple[str, int], bool] = {}
"""Results of `exact_together` in this process, by shape and number of runs."""


def exact_together(configs: Sequence[RunConfig]) -> bool:
    """Whether runs trained together give, on this machine, the very numbers they give alone.

    See `same_as_alone`. Compared only where equal bits are promised: on the CPU with one thread. The result
    is kept per process for the shape and the number of runs. Runs that cannot start count as exact: training
    reports why they cannot.
    """
    config = configs[0]
    if config.device != "cpu" or config.compute.threads > 1 or config.backend != "native":
        return True
    key = json.dumps(shape(config), sort_keys=True), len(configs)
    if key not in _found:
        try:
            _found[key] = same_as_alone(configs)
        except Exception:
            return True
    return _found[key]


def same_as_alone(configs: Sequence[RunConfig]) -> bool:
    """Whether one update of all runs together gives the bits of one of the first and of the last run alone.

    Another processor or matrix library may round a stack of products otherwise; one epoch of the update has
    products of every shape. Raises what an update raises.
    """
    short = [_one_epoch(one) for one in configs]
    together = _after_an_update(short)
    ends = (0, len(configs) - 1)
    return all(_same(together[run], _after_an_update([short[run]])[0]) for run in ends)


def _one_epoch(config: RunConfig) -> RunConfig:
    return dataclasses.replace(config, algo=dataclasses.replace(config.algo, epochs=1))


def _after_an_update(configs: Sequence[RunConfig]) -> list[dict[str, torch.Tensor]]:
    """The state of each run after its first update; empty for a run that failed."""
    session = NativeSession(configs)
    try:
        rows = session.update()
        return [
            {} if isinstance(rows[run], Failure) else session.state(run).tensors
            for run in range(len(configs))
        ]
    finally:
        session.close()


def _same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)
