"""Training loop over a session of runs: update, evaluate, record, save, end."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from enum import Enum
from functools import partial
from pathlib import Path

from rlcli.actors.exactness import described
from rlcli.backends.kernel import decided
from rlcli.backends.native import NativeSession
from rlcli.backends.session import Checkpoint, Failure, Initial, Row, Session
from rlcli.collect.evaluation import Evaluation, evaluate, lanes
from rlcli.collect.rollout import REPORT_EVERY
from rlcli.collect.tape import Tape
from rlcli.config.schema.run import RunConfig
from rlcli.config.shape import shape
from rlcli.envs import registry
from rlcli.envs.interface import VectorEnv
from rlcli.envs.untrusted import folder_kept
from rlcli.errors import EXIT_DONE, StorageError, UserError
from rlcli.nets.policy import Model, Snapshot
from rlcli.runs.evaluation_schedule import Decision, Trial
from rlcli.runs.new_run import start_run
from rlcli.runs.profile import Profile
from rlcli.runs.recorder import Recorder
from rlcli.runs.result import Result
from rlcli.runs.schedules import schedule_warnings
from rlcli.runs.stop import Stop, quitting, stop_on_signals, stopping
from rlcli.runs.update_time import UpdateTime
from rlcli.runs.video import BY_DEFAULT
from rlcli.store.start_file import read_beginning
from rlcli.streams import say_at_once

__all__ = ["Result", "Verdict", "train"]


def _sb3(
    configs: Sequence[RunConfig],
    checkpoints: Sequence[Checkpoint] | None = None,
    starts: Sequence[Initial | None] | None = None,
) -> Session:
    from rlcli.backends.sb3 import Sb3Session

    return Sb3Session(configs, checkpoints, starts)


BACKENDS: dict[str, Callable[..., Session]] = {"native": NativeSession, "sb3": _sb3}


class Verdict(Enum):
    """Whether a run continues after one of its rows."""

    CONTINUE = "continue"
    PRUNE = "prune"


OnRow = Callable[[int, Row], Verdict]
"""(run, row of its last update) -> whether it continues; for pruners and alerts."""
ShouldStop = Callable[[int, Row], str | None]
"""(run, row of its last update, not yet written) -> why it ends after this update, or None; for callbacks."""
OnEnd = Callable[[int, Result], None]
"""(run, its result): called as soon as it has ended."""
OnStart = Callable[[int, int], Recorder]
"""(run, number of its environments whose episode could not be restored) -> its recorder."""


def train(
    configs: Sequence[RunConfig],
    dirs: Sequence[Path],
    *,
    overrides: Sequence[Sequence[str]] | None = None,
    on_row: OnRow = lambda run, row: Verdict.CONTINUE,
    should_stop: ShouldStop = lambda run, row: None,
    quiet: bool = False,
    checkpoints: Sequence[Checkpoint] | None = None,
    reproduces: str | None = None,
    on_signal: Callable[[str], None] = lambda _: None,
    on_end: OnEnd = lambda run, result: None,
) -> list[Result]:
    """Trains runs of one shape together, each in its directory; results in the order of the configs.

    A run that fails, is pruned or is done is dropped; the others' numbers do not change. With `checkpoints`
    each run starts from the state given. A directory with start.safetensors becomes a fork, which begins from
    that. `reproduces` is the id of the run that is reproduced. `on_signal` is
    called at the first signal with the time that the update in progress still takes ('' if unknown).

    Raises:
        UserError: the configs cannot be trained, or a directory contains a run.
        StorageError: a run directory cannot be written to from the start, or a checkpoint does not fit.
    """
    check_one_shape(configs)
    spec = described(configs[0])
    frozen = [decided(config.resolved(), spec) for config in configs]
    beginnings = [read_beginning(one, config) for one, config in zip(dirs, frozen, strict=True)]
    parents = [None if one is None else one.parent for one in beginnings]
    words = overrides or [()] * len(frozen)
    done = [0] * len(frozen) if checkpoints is None else [saved.update for saved in checkpoints]
    names = [directory.name for directory in dirs] if len(dirs) > 1 else []

    def start(run: int, restarted: int) -> Recorder:
        recorder = start_run(
            frozen[run], dirs[run], spec, overrides=words[run], cohort=names, updates=done[run], quiet=quiet,
            reproduces=reproduces, parent=parents[run],
        )  # fmt: skip
        if not spec.exact_resume:  # true of all, printed once
            recorder.warn(f"This run cannot be resumed exactly: {spec.inexact_reason}", aloud=run == 0)
        if spec.backend_reason is not None:
            text = f"Gymnasium steps {spec.id}, which is slower: {spec.backend_reason}"
            recorder.warn(f"{text}.", aloud=run == 0)
        if spec.unused_mask is not None:
            text = f"{spec.id} says which actions are allowed, and this run is trained without that"
            recorder.warn(f"{text}; to use it: env.action_mask={spec.unused_mask}", aloud=run == 0)
        if reproduces is None:
            for warning in schedule_warnings(frozen[run], done[run], recorder.id):
                recorder.warn(warning, aloud=run == 0)
        if restarted:
            recorder.warn(f"{restarted} environments begin a new episode: theirs could not be restored.")
        return recorder

    starts = [None if one is None else one.tensors for one in beginnings]
    return train_all(frozen, start, checkpoints, on_row, on_signal, on_end, should_stop, starts)


def train_all(
    configs: Sequence[RunConfig],
    start: OnStart,
    checkpoints: Sequence[Checkpoint] | None,
    on_row: OnRow,
    on_signal: Callable[[str], None] = lambda _: None,
    on_end: OnEnd = lambda run, result: None,
    should_stop: ShouldStop = lambda run, row: None,
    starts: Sequence[Initial | None] | None = None,
) -> list[Result]:
    """Trains a session of runs to their end; `start` is called for each once the session has its state.

    Without `checkpoints` forks begin from `starts`.
    """
    recorders: dict[int, Recorder] = {}

    clock = UpdateTime(configs[0].batch_size)

    def announce() -> None:
        left = clock.left()
        for recorder in recorders.values():
            recorder.announce(stopping(recorder.reference, left))
        on_signal(left)

    def abandon(code: int) -> None:
        for recorder in recorders.values():
            recorder.abandon(code)
        lone = len(recorders) == 1
        for text in {
            quitting(one.reference, one.saved_update if lone else None) for one in recorders.values()
        }:
            say_at_once(text)

    with folder_kept(), stop_on_signals(announce, abandon) as stop:
        with folder_kept():
            session = BACKENDS[configs[0].backend](configs, checkpoints, starts)
        loop = _Loop(session, recorders, on_row, should_stop, on_end, stop, clock)
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
        self,
        session: Session,
        recorders: dict[int, Recorder],
        on_row: OnRow,
        should_stop: ShouldStop,
        on_end: OnEnd,
        stop: Stop,
        clock: UpdateTime,
    ) -> None:
        self._session = session
        self._session.listen(self._collected)
        self._recorders = recorders
        """Of the runs that have not ended."""
        self._on_row, self._should_stop, self._on_end = on_row, should_stop, on_end
        self._stop, self._clock = stop, clock
        self._tick_due = 0.0
        self._results: dict[int, Result] = {}
        self._profile: Profile | None = None
        self._evaluation_env: VectorEnv | None = None
        self._decision: Decision | None = None
        """Of the first evaluation of runs with eval.every=null; those of a cohort are treated alike."""

    def add(self, recorder: Recorder) -> None:
        """Adds the recorder of the session's next run."""
        self._recorders[len(self._recorders)] = recorder

    def to_the_end(self) -> list[Result]:
        """Updates until every run has ended; a signal ends them all after the update in progress."""
        self._begin_profile()
        for run, recorder in tuple(self._recorders.items()):
            if recorder.pending_row is not None:
                self._conclude(run, recorder.pending_row)
            elif recorder.done:
                self._leave(run, recorder.finish())
        while self._recorders and not self._stop:
            self._clock.begin(len(self._recorders))
            try:
                with folder_kept():  # an environment may change it
                    outcome = self._session.update()
                self._clock.end()
            except Exception as error:
                self.fail_all(error)
                break
            if self._profile is not None:
                self._profile.add_update(row for row in outcome.values() if not isinstance(row, Failure))
            for run, row in outcome.items():
                if isinstance(row, Failure):
                    self._fail(run, row)
                else:
                    self._conclude(run, row)
        for run in tuple(self._recorders):
            self._interrupt(run)
        return [self._with_signal(self._results[run]) for run in sorted(self._results)]

    def _begin_profile(self) -> None:
        """Begins the profile of all runs, if one of them asks for it."""
        if any(recorder.config.profile for recorder in self._recorders.values()):
            self._profile = Profile(len(self._recorders))
            for recorder in self._recorders.values():
                recorder.join_profile(self._profile)

    def fail_all(self, error: Exception) -> None:
        """Ends all runs after a failure of the session itself; their state may be wrong and is not saved."""
        for run, recorder in tuple(self._recorders.items()):
            self._leave(run, recorder.fail(Failure(error, recorder.updates + 1), None))

    def _collected(self, runs: tuple[int, ...], steps: int) -> None:
        """Shows progress within an update."""
        self._clock.collected(runs, steps)
        for run in runs:
            recorder = self._recorders[run]
            recorder.tick(steps, "collecting" if steps < recorder.config.batch_size else "learning")

    def close(self) -> None:
        """Releases the environments."""
        self._session.close()
        self._close_evaluation()

    def _conclude(self, run: int, row: Row) -> None:
        """Evaluates, records and saves a run after an update, and ends it if that was its last."""
        recorder = self._recorders[run]
        recorder.begin_update(row, len(self._recorders))
        try:
            if recorder.rate_factor < 1.0:
                self._session.scale_rate(run, recorder.rate_factor)
            best = recorder.improves(self._evaluate_and_record(run, row))
            if best or recorder.checkpoint_due:
                recorder.save(self._session.state(run), best)
            pruned = self._on_row(run, row) is Verdict.PRUNE
            if recorder.done and not recorder.evaluation_interrupted:
                self._leave(run, recorder.finish())
            elif pruned:
                recorder.save(self._session.state(run))
                self._leave(run, recorder.end("pruned"))
        except Exception as error:
            self._fail(run, Failure(error, row["update"]))

    def _evaluate_and_record(self, run: int, row: Row) -> Evaluation | None:
        """The evaluation due after the run's last update; None if there is none or a signal ended it.

        The update is recorded even if the evaluation or a callback fails. A run that a callback stops is
        evaluated as at its end.
        """
        recorder = self._recorders[run]
        evaluation = None
        try:
            evaluation = self._evaluate_if_due(run, row)
            if not recorder.evaluation_interrupted and self._stopped_by_callback(run, row):
                evaluation = evaluation or self._evaluate_if_due(run, row)
        finally:
            recorder.record(row, partial(self._session.views, run))
        return evaluation

    def _stopped_by_callback(self, run: int, row: Row) -> bool:
        recorder = self._recorders[run]
        recorder.add_times(row)
        reason = self._should_stop(run, row)
        if reason is not None:
            recorder.stop(reason)
        return reason is not None

    def _evaluate_if_due(self, run: int, row: Row) -> Evaluation | None:
        """The evaluation after the run's last update, added to its row."""
        recorder = self._recorders[run]
        trial = self._trial(recorder)
        if not recorder.evaluation_due:
            return None
        evaluation, begun, wanted = None, time.perf_counter(), True
        tape = Tape(BY_DEFAULT) if recorder.video_due else None
        try:
            evaluation = self._evaluate(recorder, trial, tape, *self._session.policy(run))
            if trial is not None and not self._stop:
                self._decision = trial.decision
                wanted = self._decision.reason is None
                recorder.decide_evaluations(self._decision, aloud=True)
        finally:
            seconds = time.perf_counter() - begun
            if wanted:
                recorder.add_evaluation(row, evaluation, seconds)
            else:
                row["time/evaluate"] = seconds
        if wanted and evaluation is not None and tape is not None:
            recorder.film(tape, self._session.spec.action)
        return evaluation if wanted else None

    def _trial(self, recorder: Recorder) -> Trial | None:
        """The trial of an evaluation that decides for all runs of the session; None if that is decided."""
        if not recorder.evaluation_decides:
            return None
        if self._decision is not None:
            recorder.decide_evaluations(self._decision, aloud=False)
            return None
        limit = self._session.spec.max_episode_steps
        return Trial(recorder.config, limit, recorder.training_seconds / len(self._recorders))

    def _evaluate(
        self, recorder: Recorder, trial: Trial | None, tape: Tape | None, model: Model, snapshot: Snapshot
    ) -> Evaluation | None:
        config, episodes = recorder.config, recorder.config.eval.episodes

        def stopped() -> bool:
            if time.monotonic() >= self._tick_due:
                self._tick_due = time.monotonic() + REPORT_EVERY
                recorder.tick(config.batch_size, "evaluating")
            return bool(self._stop) or (trial is not None and trial.step())

        if self._evaluation_env is None:
            self._evaluation_env = registry.make(
                config.env, 1, num_envs=lanes(episodes), squash=config.network.squash
            )
        try:
            with folder_kept():
                return evaluate(
                    model, snapshot, self._evaluation_env, config.seed, episodes,
                    max_steps=config.eval.max_steps, stopped=stopped, tape=tape,
                )  # fmt: skip
        except Exception:
            self._close_evaluation()  # it has failed for one run, and must not for the next
            raise

    def _interrupt(self, run: int) -> None:
        recorder = self._recorders[run]
        assert self._stop.exit_code is not None
        try:
            recorder.save(self._session.state(run))
            result = recorder.end("interrupted", self._stop.exit_code, f"after update {recorder.updates}")
        except StorageError as error:
            result = recorder.fail(Failure(error, recorder.updates), None)
        self._leave(run, result)

    def _fail(self, run: int, failure: Failure) -> None:
        full = isinstance(failure.error, StorageError)
        self._leave(run, self._recorders[run].fail(failure, None if full else self._session.state(run)))

    def _leave(self, run: int, result: Result) -> None:
        self._results[run] = result
        del self._recorders[run]
        self._session.drop(run)
        self._on_end(run, result)

    def _with_signal(self, result: Result) -> Result:
        """The result with the signal's exit code, if a run was finished before it could stop."""
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
