"""The training loop over a session of runs: update, evaluate, record, checkpoint, end."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from enum import Enum
from functools import partial
from pathlib import Path

from rlcli.backends.native import NativeSession
from rlcli.backends.session import Checkpoint, Failure, Row, Session
from rlcli.collect.evaluation import Evaluation, evaluate, lanes
from rlcli.config.schema import RunConfig
from rlcli.config.shape import shape
from rlcli.envs import registry
from rlcli.envs.interface import VectorEnv
from rlcli.envs.untrusted import folder_kept
from rlcli.errors import EXIT_DONE, StorageError, UserError
from rlcli.nets.policy import Model, Snapshot
from rlcli.runs.run import Result, Run
from rlcli.runs.schedules import run_out
from rlcli.runs.stop import STOPPING, Stop, stop_on_signals

__all__ = ["Result", "Verdict", "train"]


def _sb3(configs: Sequence[RunConfig], checkpoints: Sequence[Checkpoint] | None) -> Session:
    from rlcli.backends.sb3 import Sb3Session

    return Sb3Session(configs, checkpoints)


BACKENDS: dict[str, Callable[..., Session]] = {"native": NativeSession, "sb3": _sb3}


class Verdict(Enum):
    """What is to become of a run after one of its rows."""

    CONTINUE = "continue"
    PRUNE = "prune"


OnRow = Callable[[int, Row], Verdict]
"""(run, row of its last update) -> whether it goes on; pruners and alerts listen here."""
OnEnd = Callable[[int, Result], None]
"""(run, its result), as soon as it has ended."""


def train(
    configs: Sequence[RunConfig],
    dirs: Sequence[Path],
    *,
    overrides: Sequence[Sequence[str]] | None = None,
    on_row: OnRow = lambda run, row: Verdict.CONTINUE,
    quiet: bool = False,
    checkpoints: Sequence[Checkpoint] | None = None,
    reproduces: str | None = None,
    announced: Callable[[str], None] = lambda _: None,
    on_end: OnEnd = lambda run, result: None,
) -> list[Result]:
    """Trains runs of one shape together, each in its directory; results in the order of the configs.

    A run that fails, is pruned or is done leaves; the others' numbers do not change. With `checkpoints` each
    run goes on from the state given. `reproduces` is the id of the run that a run is to equal. `announced`
    hears that a signal came.

    Raises:
        UserError: the configs cannot be trained, or a directory holds a run already.
        StorageError: a run directory cannot be written to from the start, or a checkpoint does not fit.
    """
    check_one_shape(configs)
    frozen = [config.resolved() for config in configs]
    spec = registry.describe(frozen[0].env)
    typed = overrides or [()] * len(frozen)
    done = [0] * len(frozen) if checkpoints is None else [saved.update for saved in checkpoints]
    names = [directory.name for directory in dirs] if len(dirs) > 1 else []

    def start(run: int, restarted: int) -> Run:
        record = Run.begin(
            frozen[run], dirs[run], spec, overrides=typed[run], cohort=names, updates=done[run], quiet=quiet,
            reproduces=reproduces,
        )  # fmt: skip
        if not spec.exact_resume:  # true of all, said once
            record.warn(f"This run cannot be resumed exactly: {spec.inexact_reason}", aloud=run == 0)
        if reproduces is None:
            for warning in run_out(frozen[run], done[run], record.id):
                record.warn(warning, aloud=run == 0)
        if restarted:
            record.warn(f"{restarted} environments begin a new episode: theirs could not be restored.")
        return record

    return train_all(frozen, start, checkpoints, on_row, announced, on_end)


def train_all(
    configs: Sequence[RunConfig],
    start: Callable[[int, int], Run],
    checkpoints: Sequence[Checkpoint] | None,
    on_row: OnRow,
    announced: Callable[[str], None] = lambda _: None,
    on_end: OnEnd = lambda run, result: None,
) -> list[Result]:
    """Trains a session of runs to their end.

    `start(run, restarted)` gives the record of a run once its state is there; `restarted` of its environments
    could not be put back into their episode. `announced` hears what the console of each run hears.
    """
    runs: dict[int, Run] = {}

    def announce() -> None:
        for run in runs.values():
            run.announce(STOPPING)
        announced(STOPPING)

    def abandon(code: int) -> None:
        for run in runs.values():
            run.abandon(code)

    with folder_kept(), stop_on_signals(announce, abandon) as stop:
        with folder_kept():
            session = BACKENDS[configs[0].backend](configs, checkpoints)
        loop = _Loop(session, runs, on_row, on_end, stop)
        try:
            for run in range(len(configs)):
                loop.add(start(run, session.restarted(run)))
            return loop.to_the_end()
        except Exception as error:
            loop.fail_all(error)
            raise
        finally:
            loop.close()


class _Loop:
    """Drives a session until none of its runs is left."""

    def __init__(
        self, session: Session, runs: dict[int, Run], on_row: OnRow, on_end: OnEnd, stop: Stop
    ) -> None:
        self._session = session
        self._runs = runs
        """Runs that have not ended."""
        self._on_row, self._on_end = on_row, on_end
        self._stop = stop
        self._results: dict[int, Result] = {}
        self._evaluation_env: VectorEnv | None = None

    def add(self, run: Run) -> None:
        """The next run of the session."""
        self._runs[len(self._runs)] = run

    def to_the_end(self) -> list[Result]:
        """Updates until every run has ended; a signal ends them all after the update in progress."""
        for run, record in tuple(self._runs.items()):
            if record.owed is not None:
                self._conclude(run, record.owed)
            elif record.done:
                self._leave(run, record.end("finished"))
        while self._runs and not self._stop:
            try:
                with folder_kept():  # what follows may have relative paths
                    outcome = self._session.update()
            except Exception as error:
                self.fail_all(error)
                break
            for run, row in outcome.items():
                if isinstance(row, Failure):
                    self._fail(run, row)
                else:
                    self._conclude(run, row)
        for run in tuple(self._runs):
            self._interrupt(run)
        return [self._told(self._results[run]) for run in sorted(self._results)]

    def fail_all(self, error: Exception) -> None:
        """A defect of the session itself ends all its runs; what it would give as their state is not kept."""
        for run, record in tuple(self._runs.items()):
            self._leave(run, record.fail(Failure(error, record.updates + 1), None))

    def close(self) -> None:
        """Releases the environments."""
        self._session.close()
        self._close_evaluation()

    def _conclude(self, run: int, row: Row) -> None:
        """Everything that follows one update of one run."""
        record = self._runs[run]
        record.updates = row["update"]
        again, record.owed = record.owed is not None, None
        try:
            evaluation = self._evaluate_and_record(run, row)
            best = record.improves(evaluation)
            if best or again or record.checkpoint_due:
                record.save(self._session.state(run), best, again)
            pruned = self._on_row(run, row) is Verdict.PRUNE
            cut_short = record.evaluation_due and evaluation is None
            if record.done and not cut_short:
                self._leave(run, record.end("finished"))
            elif pruned:
                record.save(self._session.state(run))
                self._leave(run, record.end("pruned"))
        except Exception as error:
            self._fail(run, Failure(error, row["update"]))

    def _evaluate_and_record(self, run: int, row: Row) -> Evaluation | None:
        """The evaluation due after the run's last update, None when there is none or a signal ended it.

        The update is recorded however the evaluation goes.
        """
        record = self._runs[run]
        evaluation, begun = None, time.perf_counter()
        try:
            if record.evaluation_due:
                evaluation = self._evaluate(record.config, *self._session.policy(run))
        finally:
            record.record(row, evaluation, time.perf_counter() - begun, partial(self._session.views, run))
        return evaluation

    def _evaluate(self, config: RunConfig, model: Model, snapshot: Snapshot) -> Evaluation | None:
        episodes = config.eval.episodes
        if self._evaluation_env is None:
            self._evaluation_env = registry.make(config.env, 1, num_envs=lanes(episodes))
        try:
            with folder_kept():
                return evaluate(
                    model, snapshot, self._evaluation_env, config.seed, episodes,
                    max_steps=config.eval.max_steps, stopped=lambda: bool(self._stop),
                )  # fmt: skip
        except Exception:
            self._close_evaluation()  # it has failed for one run, and must not for the next
            raise

    def _interrupt(self, run: int) -> None:
        record = self._runs[run]
        assert self._stop.exit_code is not None
        try:
            record.save(self._session.state(run))
            result = record.end("interrupted", self._stop.exit_code, f"after update {record.updates}")
        except StorageError as error:
            result = record.fail(Failure(error, record.updates), None)
        self._leave(run, result)

    def _fail(self, run: int, failure: Failure) -> None:
        full = isinstance(failure.error, StorageError)
        self._leave(run, self._runs[run].fail(failure, None if full else self._session.state(run)))

    def _leave(self, run: int, result: Result) -> None:
        self._results[run] = result
        del self._runs[run]
        self._session.drop(run)
        self._on_end(run, result)

    def _told(self, result: Result) -> Result:
        """A run that was done before it heard the signal stays so, but whoever started it must hear of it."""
        if self._stop.exit_code is None or result.exit_code != EXIT_DONE:
            return result
        return dataclasses.replace(
            result, exit_code=self._stop.exit_code, message="it was done when the signal came"
        )

    def _close_evaluation(self) -> None:
        if self._evaluation_env is not None:
            self._evaluation_env.close()
            self._evaluation_env = None


def check_one_shape(configs: Sequence[RunConfig]) -> None:
    """Raises `UserError` when runs differ in more than may differ within a cohort."""
    first, *others = map(shape, configs)
    differing = [name for name, value in first.items() if any(other[name] != value for other in others)]
    if differing:
        raise UserError(f"Runs trained together must agree on {', '.join(differing)}.")
