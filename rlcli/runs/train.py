"""The training loop over a session of runs: update, evaluate, record, checkpoint, end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from rlcli.backends.native import NativeSession
from rlcli.backends.session import Checkpoint, Failure, Row, Session
from rlcli.collect.evaluation import Evaluation, evaluate, lanes
from rlcli.config.schema import RunConfig
from rlcli.envs import registry
from rlcli.envs.interface import VectorEnv
from rlcli.errors import StorageError
from rlcli.runs.run import Result, Run
from rlcli.runs.stop import Stop, stop_on_signals

__all__ = ["Result", "Verdict", "train"]

BACKENDS: dict[str, Callable[..., Session]] = {"native": NativeSession}


class Verdict(Enum):
    """What is to become of a run after one of its rows."""

    CONTINUE = "continue"
    PRUNE = "prune"


OnRow = Callable[[int, Row], Verdict]
"""(run, row of its last update) -> whether it goes on; pruners and alerts listen here."""


def train(
    configs: Sequence[RunConfig],
    dirs: Sequence[Path],
    *,
    overrides: Sequence[Sequence[str]] | None = None,
    on_row: OnRow = lambda run, row: Verdict.CONTINUE,
    quiet: bool = False,
    checkpoints: Sequence[Checkpoint] | None = None,
) -> list[Result]:
    """Trains runs of one shape together, each in its directory; results in the order of the configs.

    A run that fails, is pruned or is done leaves; the others' numbers do not change. With `checkpoints` each
    run goes on from the state given.

    Raises:
        UserError: the configs cannot be trained; nothing was made on disk.
        StorageError: a run directory cannot be written to from the start.
    """
    spec = registry.describe(configs[0].env)
    typed = overrides or [()] * len(configs)
    session = BACKENDS[configs[0].backend](configs, checkpoints)
    names = [directory.name for directory in dirs] if len(dirs) > 1 else []
    runs = {
        run: Run(config, directory, spec, overrides=words, cohort=names, quiet=quiet)
        for run, (config, directory, words) in enumerate(zip(configs, dirs, typed, strict=True))
    }
    loop = _Loop(session, runs, on_row)
    with stop_on_signals(loop.abandon, loop.announce_stop) as stop:
        return loop.to_the_end(stop)


class _Outcome(NamedTuple):
    evaluation: Evaluation | None
    seconds: float


class _Loop:
    """Drives a session until none of its runs is left."""

    def __init__(self, session: Session, runs: dict[int, Run], on_row: OnRow) -> None:
        self._session = session
        self._runs = runs
        self._on_row = on_row
        self._results: dict[int, Result] = {}
        self._evaluation_envs: VectorEnv | None = None

    def to_the_end(self, stop: Stop) -> list[Result]:
        """Updates until every run has ended; a signal ends them all after the update in progress."""
        try:
            while self._session.runs and not stop:
                try:
                    outcome = self._session.update()
                except Exception as error:
                    self._fail_all(error)
                    break
                for run, row in outcome.items():
                    self._conclude(run, row, stop)
            for run in tuple(self._session.runs):
                if run not in self._results:
                    self._interrupt(run, stop)
        finally:
            self._session.close()
            if self._evaluation_envs is not None:
                self._evaluation_envs.close()
        return [self._results[run] for run in self._runs]

    def abandon(self, code: int) -> None:
        """The second signal: no state is saved."""
        for run, record in self._runs.items():
            if run not in self._results:
                record.abandon(code)

    def announce_stop(self) -> None:
        """The first signal."""
        for run, record in self._runs.items():
            if run not in self._results:
                record.announce("Stopping after this update; once more ends at once.")

    def _conclude(self, run: int, row: Row | Failure, stop: Stop) -> None:
        """Everything that follows one update of one run."""
        record = self._runs[run]
        if isinstance(row, Failure):
            self._leave(run, record.fail(row, self._session.state(run)))
            return
        record.updates = row["update"]
        try:
            evaluation, seconds = self._evaluate(run, stop)
            record.record(row, evaluation, {"time/evaluate": seconds} if seconds else {})
            due = record.reached(record.config.checkpoint.every) or record.done
            if evaluation is not None or due:
                record.save(self._session.state(run), evaluation)
            pruned = self._on_row(run, row) is Verdict.PRUNE
            if pruned or record.done:
                self._leave(run, record.end("pruned" if pruned and not record.done else "finished"))
        except Exception as error:
            last_good = None if isinstance(error, StorageError) else self._session.state(run)
            self._leave(run, record.fail(Failure(error, row["update"]), last_good))

    def _evaluate(self, run: int, stop: Stop) -> _Outcome:
        """The evaluation that is due after the run's last update, if any."""
        record = self._runs[run]
        config = record.config
        if config.eval.episodes == 0 or not (record.done or record.reached(config.eval.every)):
            return _Outcome(None, 0.0)
        begun = time.perf_counter()
        if self._evaluation_envs is None:
            self._evaluation_envs = registry.make(config.env, 1, num_envs=lanes(config.eval.episodes))
        policy = self._session.policy(run)
        evaluation = evaluate(
            policy.model, policy.snapshot, self._evaluation_envs, config.seed, config.eval.episodes,
            stopped=lambda: bool(stop),
        )  # fmt: skip
        return _Outcome(evaluation, time.perf_counter() - begun)

    def _interrupt(self, run: int, stop: Stop) -> None:
        record = self._runs[run]
        assert stop.exit_code is not None
        try:
            record.save(self._session.state(run))
            result = record.end("interrupted", stop.exit_code, f"after update {record.updates}")
        except StorageError as error:
            result = record.fail(Failure(error, record.updates), None)
        self._results[run] = result

    def _fail_all(self, error: Exception) -> None:
        """A defect of the session itself ends all its runs."""
        for run in tuple(self._session.runs):
            record = self._runs[run]
            self._results[run] = record.fail(Failure(error, record.updates + 1), None)

    def _leave(self, run: int, result: Result) -> None:
        self._results[run] = result
        self._session.drop(run)
