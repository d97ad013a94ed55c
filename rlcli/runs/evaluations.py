"""Evaluations of the runs that train together: when one is due it is made, timed, filmed and recorded."""

from __future__ import annotations

import time

from rlcli.backends.session import Row, Session
from rlcli.collect.collector import REPORT_EVERY
from rlcli.collect.evaluation import Evaluation, evaluate, lanes
from rlcli.collect.tape import Tape
from rlcli.envs import registry
from rlcli.envs.interface import VectorEnv
from rlcli.envs.untrusted import folder_kept
from rlcli.nets.policy import Model, Snapshot
from rlcli.runs.evaluation_schedule import Decision, Trial
from rlcli.runs.recorder import Recorder
from rlcli.runs.stop import Stop
from rlcli.runs.video import BY_DEFAULT


class Evaluations:
    """Evaluates runs of a session in one environment, which is made for the first."""

    def __init__(self, session: Session, stop: Stop) -> None:
        self._session, self._stop = session, stop
        self._tick_due = 0.0
        self._env: VectorEnv | None = None
        self._decision: Decision | None = None
        """Of the first evaluation of runs with eval.every=null; those of a cohort are treated alike."""

    def after(self, recorder: Recorder, run: int, row: Row, together: int) -> Evaluation | None:
        """The evaluation due after the last update of a run, added to its row; None if there is none.

        So many runs train `together`. It is None, too, where a signal or its own time ended it.
        """
        trial = self._trial(recorder, together)
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

    def close(self) -> None:
        """Releases the environment."""
        if self._env is not None:
            self._env.close()
            self._env = None

    def _trial(self, recorder: Recorder, together: int) -> Trial | None:
        """The trial of an evaluation that decides for all runs of the session; None if that is decided."""
        if not recorder.evaluation_decides:
            return None
        if self._decision is not None:
            recorder.decide_evaluations(self._decision, aloud=False)
            return None
        limit = self._session.spec.max_episode_steps
        return Trial(recorder.config, limit, recorder.training_seconds / together)

    def _evaluate(
        self, recorder: Recorder, trial: Trial | None, tape: Tape | None, model: Model, snapshot: Snapshot
    ) -> Evaluation | None:
        config, episodes = recorder.config, recorder.config.eval.episodes

        def stopped() -> bool:
            if time.monotonic() >= self._tick_due:
                self._tick_due = time.monotonic() + REPORT_EVERY
                recorder.tick(config.batch_size, "evaluating")
            return bool(self._stop) or (trial is not None and trial.step())

        if self._env is None:
            self._env = registry.make(config.env, 1, num_envs=lanes(episodes), squash=config.network.squash)
        try:
            with folder_kept():
                return evaluate(
                    model, snapshot, self._env, config.seed, episodes,
                    max_steps=config.eval.max_steps, stopped=stopped, tape=tape,
                )  # fmt: skip
        except Exception:
            self.close()  # it has failed for one run, and must not for the next
            raise
