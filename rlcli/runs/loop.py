"""Loop over a session of runs: update, evaluate, record, save, end."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from enum import Enum
from functools import partial

from rlcli.backends.session import Failure, Row, Session
from rlcli.collect.evaluation import Evaluation
from rlcli.envs.untrusted import folder_kept
from rlcli.errors import EXIT_DONE, StorageError
from rlcli.runs.evaluations import Evaluations
from rlcli.runs.profile import Profile
from rlcli.runs.recorder import Recorder
from rlcli.runs.result import Result
from rlcli.runs.stop import Stop
from rlcli.runs.update_time import UpdateTime


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


class Loop:
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
        self._results: dict[int, Result] = {}
        self._profile: Profile | None = None
        self._evaluations = Evaluations(session, stop)

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
        self._evaluations.close()

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
            evaluation = self._evaluations.after(recorder, run, row, len(self._recorders))
            if not recorder.evaluation_interrupted and self._stopped_by_callback(run, row):
                evaluation = evaluation or self._evaluations.after(recorder, run, row, len(self._recorders))
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
