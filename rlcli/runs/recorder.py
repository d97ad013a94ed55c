"""Recorder of one run: its metrics rows, digests, checkpoints, log and manifest, written as it trains."""

from __future__ import annotations

import contextlib
import shlex
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from rlcli import streams
from rlcli.backends.session import Array, Checkpoint, Failure, Row
from rlcli.collect.evaluation import Evaluation
from rlcli.collect.tape import Tape
from rlcli.config.schema.run import RunConfig
from rlcli.config.serialise import to_dict
from rlcli.envs.spec import ActionSpec, EnvSpec
from rlcli.errors import EXIT_DONE, StorageError
from rlcli.loggers.interface import Loggers, RunInfo, make_loggers
from rlcli.runs import cadence, failures
from rlcli.runs.alerts import Alert, Alerts, rate_factor, rules_of
from rlcli.runs.early_stopping import EarlyStopping
from rlcli.runs.evaluation_schedule import Decision, EvaluationSchedule
from rlcli.runs.profile import Profile
from rlcli.runs.reference import reference
from rlcli.runs.result import Result
from rlcli.runs.saving_time import SavingTime
from rlcli.runs.video import film
from rlcli.store.alert_rows import AlertRows
from rlcli.store.checkpoints import Checkpoints
from rlcli.store.digests import FILE as DIGESTS
from rlcli.store.digests import Digests
from rlcli.store.earlier_rows import NOTHING_EARLIER, TRAINING, Earlier
from rlcli.store.files import LineFile, settle
from rlcli.store.lock import Lock
from rlcli.store.manifest import Manifest, now
from rlcli.store.record import started, timed_rows
from rlcli.store.rows import Rows, differing
from rlcli.text import brief, trace, visible

LONGEST_ENTRY = 2**18
"""Characters of one entry in train.log; the text of an environment's exception may be of any length."""
MEASURED = (*TRAINING, "time/evaluate", "time/log", "time/save")
"""Seconds of the parts of an update, without those that are parts of another."""


class Recorder:
    """Writes the record of one run; does not train it.

    Its state changes only through its methods: for each update `begin_update`, `add_evaluation`, `stop`,
    `record` and `save`; then one of `finish`, `end`, `fail` and `abandon`.
    """

    def __init__(
        self,
        config: RunConfig,
        manifest: Manifest,
        lock: Lock,
        spec: EnvSpec,
        *,
        updates: int = 0,
        earlier: Earlier = NOTHING_EARLIER,
        alerts: Alerts | None = None,
        quiet: bool = False,
    ) -> None:
        """Opens the files of a run whose config and manifest are written; `updates` are done.

        `alerts` are those of earlier processes; None: the run begins.
        """
        self.config: Final = config
        self._given_dir = manifest.path.parent
        """The run directory as the user named it."""
        manifest.make_absolute()  # an environment may change the current directory
        self.dir: Final = manifest.path.parent
        self.reference: Final = reference(manifest, self._given_dir, config)
        self._manifest, self._lock, self._spec = manifest, lock, spec
        self._updates = updates
        self._pending_row = earlier.pending_row
        self._repeats = False
        """Whether the last update was recorded before, by the process that was interrupted."""
        self._started = time.perf_counter()
        self._times: dict[str, float] = {"time/log": 0.0}
        """Times of recording the last update, which the next row has."""
        self._profile: Profile | None = None
        """Of all runs that train together."""
        self._saving = SavingTime(config.checkpoint.seconds)
        self._evaluations = EvaluationSchedule.of(config, manifest.content["eval_every"])
        self._timed_updates, self._timed_seconds = 0, 0.0
        """Updates of this process, and how long they took."""
        self._early_stopping = EarlyStopping(config.stop_at, earlier.stop_values)
        self._alerts = alerts or Alerts(rules_of(config), manifest.content["action_dimensions"])
        self._raised: list[Alert] = []
        """By the last update."""
        self._stop_reason: str | None = None
        """Why a callback ends the run."""
        self._evaluation_interrupted = False
        """Whether the evaluation after the last update was interrupted."""
        self._warned_of_cut = False
        """Whether a warning was printed that an evaluation had episodes without an end."""
        self._last_return = earlier.last_return
        self._earlier_rows = dict(earlier.rows)
        self._checkpoints = Checkpoints(self.dir, config.checkpoint.keep)
        self._best_return = self._checkpoints.best_return
        self._rows = Rows(self.dir, earlier.position)
        self._log = LineFile(self.dir / "train.log")
        self._digests = Digests(self.dir, updates, config.digest.every)
        self._alert_rows = AlertRows(self.dir, [one.row() for one in self._alerts.raised])
        self._loggers = Loggers({}, self.warn)
        try:
            begun = f"resumed after update {updates}" if self._resumed else "started"
            self._write_log(f"{begun}: {shlex.join(sys.argv)}")
            self._loggers = make_loggers(self._info(quiet), self.warn)
        except StorageError as error:
            self.fail(Failure(error, updates), None)
            raise

    @property
    def id(self) -> str:
        """The run's id."""
        return str(self._manifest.content["id"])

    @property
    def updates(self) -> int:
        """Updates done."""
        return self._updates

    @property
    def env_steps(self) -> int:
        """Env steps of the updates done."""
        return self._updates * self.config.batch_size

    @property
    def done(self) -> bool:
        """Whether the last update is the run's last: all are done, or it stops early."""
        return self._updates >= self.config.updates or self.stop_reason is not None

    @property
    def stop_reason(self) -> str | None:
        """Why the run ends after this update, even if it is not the last of the config."""
        return self._stop_reason or self._early_stopping.reason or self._alerts.stop_reason

    @property
    def pending_row(self) -> Row | None:
        """The row of an update whose evaluation an earlier process did not finish; first of all to record."""
        return self._pending_row

    @property
    def evaluation_due(self) -> bool:
        """Whether an evaluation follows the last update."""
        return cadence.evaluation_due(self.config, self._updates, self.done, self._evaluations.every)

    @property
    def video_due(self) -> bool:
        """Whether the evaluation after the last update is filmed."""
        return cadence.video_due(self.config, self._updates, self._evaluations.every)

    @property
    def evaluation_decides(self) -> bool:
        """Whether the evaluation due now is the one that decides whether there are more before the end."""
        return self._evaluations.undecided and not self.done

    @property
    def training_seconds(self) -> float:
        """Estimated seconds that all updates of the run take, with the runs it trains together with."""
        return self._timed_seconds / max(1, self._timed_updates) * self.config.updates

    @property
    def evaluation_interrupted(self) -> bool:
        """Whether the evaluation after the last update, which is recorded, was interrupted."""
        return self._evaluation_interrupted

    @property
    def checkpoint_due(self) -> bool:
        """Whether the state after the last update is saved."""
        return self._repeats or self.done or self._saving.due

    @property
    def _resumed(self) -> bool:
        return bool(self._manifest.content["resumes"])

    @property
    def saved_update(self) -> int:
        """The update of the last checkpoint; 0 if there is none yet."""
        return int(self._manifest.content.get("saved") or 0)

    def join_profile(self, profile: Profile) -> None:
        """Adds the times of recording to a profile from now on."""
        self._profile = profile

    def begin_update(self, row: Row, runs: int = 1) -> None:
        """Counts an update, of `runs` that train together; all other methods are about it from now on."""
        self._updates = row["update"]
        self._repeats, self._pending_row = self._pending_row is not None, None
        self._evaluation_interrupted = False
        self._timed_updates += 1
        self._timed_seconds += sum(row.get(name, 0.0) for name in TRAINING)
        self._early_stopping.add(row)
        self._raised = self._alerts.add(row)
        self._saving.update(self._on_schedule(self.config.checkpoint.every), runs)

    @property
    def rate_factor(self) -> float:
        """What alerts of the last update multiply the learning rate by; 1 if the saved state has it."""
        return 1.0 if self._repeats else rate_factor(self._raised)

    def decide_evaluations(self, decision: Decision, aloud: bool) -> None:
        """Records whether the run is evaluated before its end, where eval.every=null left it open.

        Where it is not, the reason goes to manifest.json, train.log and, with `aloud`, to stderr.
        """
        self._evaluations = self._evaluations.decided(decision)
        self._manifest.update(eval_every=self._evaluations.every, eval_every_reason=decision.reason)
        if decision.reason is not None:
            self._write_log(decision.reason)
            if aloud:
                streams.say(decision.reason)

    def add_evaluation(self, row: Row, evaluation: Evaluation | None, seconds: float) -> None:
        """Adds the evaluation after the update to its row, None if it was interrupted; it took `seconds`."""
        self._evaluation_interrupted = evaluation is None
        if evaluation is not None:
            figures = evaluation.figures()
            if self._evaluation_on_schedule:
                self._early_stopping.add(figures)
            else:
                figures["eval/final"] = 1.0
            row |= figures
            self._last_return = row["eval/return_mean"]
            self._warn_of_cut(evaluation)
        row["time/evaluate"] = seconds
        self._add_to_profile("evaluation", seconds)

    def film(self, tape: Tape, action: ActionSpec) -> None:
        """Writes the videos of the evaluation after the update; one that fails is a warning."""
        try:
            for path in film(self.dir, self._updates, tape, self.config.env, action):
                self._write_log(f"update {self._updates}: filmed {path.name}")
        except Exception as error:
            self.warn(f"no video of the evaluation after update {self._updates}: {brief(error)}")

    def add_times(self, row: Row) -> None:
        """Adds the times of the update to its row."""
        row |= self._times
        spent = sum(row.get(name, 0.0) for name in MEASURED)
        row |= {
            "time/steps_per_second": self.config.batch_size / spent,
            "time/elapsed": time.perf_counter() - self._started,
        }

    def stop(self, reason: str) -> None:
        """Makes this update the run's last."""
        self._stop_reason = reason

    def record(self, row: Row, views: Callable[[], Mapping[str, Array]]) -> None:
        """Logs the row of the update; `views` gives the run's state, for its digests."""
        self.add_times(row)
        self._compare_with_earlier(row)
        begun = time.perf_counter()
        self._loggers.log(row)
        logged = time.perf_counter()
        if cadence.digest_due(self.config, self._updates, self.done):
            self._digests.add(row, views())
        ended = time.perf_counter()
        self._times = {"time/log": ended - begun, "time/digests": ended - logged}
        self._add_to_profile("loggers", logged - begun)
        self._add_to_profile("digests", ended - logged)
        for alert in self._raised:
            self._show(alert)

    def improves(self, evaluation: Evaluation | None) -> bool:
        """Whether the evaluation is higher than all before; of equals the earlier wins."""
        if evaluation is None:
            return False
        return self._best_return is None or float(evaluation.returns.mean()) > self._best_return

    def save(self, checkpoint: Checkpoint, best: bool = False) -> None:
        """Saves a state, with `best` as that of the highest evaluation, which was the last."""
        if best:
            self._best_return = self._last_return
        replace, self._repeats = self._repeats, False
        self._save(checkpoint, best, replace)

    def finish(self) -> Result:
        """Ends a run that is done; one that stopped early has the reason as its message."""
        return self.end("finished", message=self.stop_reason)

    def end(self, status: str, exit_code: int = EXIT_DONE, message: str | None = None) -> Result:
        """Closes all files; manifest.json records how the run ended.

        Raises:
            StorageError: something could not be written to its end.
        """
        self._write_log(f"{status}: {message}" if message else status)
        begun = time.perf_counter()
        self._loggers.close(status)
        self._add_to_profile("loggers", time.perf_counter() - begun)
        if self.config.profile and self._profile is not None:
            self._profile.write(self.dir)
        self._manifest.update(
            status=status, finished=now(), exit_code=exit_code, message=message, **self._progress()
        )
        self._close_files()
        return self._result(status, exit_code, message)

    def fail(self, failure: Failure, last_good: Checkpoint | None) -> Result:
        """Ends the run as failed: the traceback in train.log, the last good state and the batch saved."""
        code, message = failures.outcome(failure.error)
        try:
            self._write_log(trace(failure.error))
            if failures.save_batch(self.dir, failure):
                self._write_log(f"update {failure.update}: its batch is saved to {failures.FILE}")
            if last_good is not None:
                self._save(last_good)
            return self.end("failed", code, message)
        except StorageError as storage:
            if not isinstance(failure.error, StorageError):
                code, message = storage.exit_code, f"{message} Then: {storage}"
            return self._end_unwritten(code, message)

    def abandon(self, exit_code: int) -> None:
        """Ends the record at once, because the process is about to exit."""
        streams.show_cursor()  # the panel hides it
        self._manifest.update(
            status="interrupted", finished=now(), exit_code=exit_code, message="ended at once",
            **self._progress(),
        )  # fmt: skip
        self._lock.release()

    def warn(self, text: str, aloud: bool = True) -> None:
        """Writes a warning to train.log and, with `aloud`, to stderr."""
        if aloud:
            streams.say(f"Warning: {text}")
        self._write_log(f"warning: {text}")

    def tick(self, steps: int, phase: str) -> None:
        """Lets the clock of the progress display tick; see `Loggers.tick`."""
        self._loggers.tick(steps, phase)

    def announce(self, text: str) -> None:
        """Prints a line beside the progress display."""
        self._loggers.message(text)

    def _show(self, alert: Alert) -> None:
        """Records an alert, and hands it to the loggers."""
        self._alert_rows.add(alert.row())
        self._write_log(f"alert at update {alert.update}: {alert.text}")
        self._loggers.alert(alert.title, f"Alert at update {alert.update:,}: {alert.text}", alert.update)

    def _write_log(self, text: str) -> None:
        """Adds an entry to train.log, without characters that control a terminal."""
        self._log.write(f"{now()} {visible(text[:LONGEST_ENTRY])}")

    def _save(self, checkpoint: Checkpoint, best: bool = False, replace: bool = False) -> None:
        """Saves a state; `replace` overwrites the checkpoint of this update if there is one."""
        self._saving.begin()
        self._loggers.settle()
        # The rows and digests before a checkpoint reach the disk before it does.
        rows = self._rows.settle()
        settle(self.dir / DIGESTS)
        path = self._checkpoints.save(
            checkpoint,
            checkpoint.update * self.config.batch_size,
            self._best_return if best else None,
            due=self._saving.due,
            final=not self._evaluation_on_schedule,
            owed=self._evaluation_interrupted,
            replace=replace,
            rows=rows,
        )
        self._write_log(f"update {checkpoint.update}: saved {path.name}" + (", the best" if best else ""))
        self._manifest.update(**self._progress(), **self._exactness(checkpoint), saved=checkpoint.update)
        self._times["time/save"] = took = self._saving.end()
        self._add_to_profile("checkpoints", took)

    def _add_to_profile(self, part: str, seconds: float) -> None:
        if self._profile is not None:
            self._profile.add(part, seconds)

    def _warn_of_cut(self, evaluation: Evaluation) -> None:
        """Warns that episodes of an evaluation had no end; on stderr the first time only."""
        if evaluation.cut:
            self.warn(
                f"Evaluation after update {self.updates}: {evaluation.cut} of {len(evaluation.returns)} "
                f"episodes did not end and were stopped after {self.config.eval.max_steps:,} steps "
                "(eval.max_steps); their returns are of the steps played.",
                aloud=not self._warned_of_cut,
            )
            self._warned_of_cut = True

    @property
    def _evaluation_on_schedule(self) -> bool:
        return not self._evaluations.undecided and self._on_schedule(self._evaluations.every)

    def _on_schedule(self, every: int) -> bool:
        return cadence.reached(self.config, self._updates, every)

    def _info(self, quiet: bool) -> RunInfo:
        config, manifest = self.config, self._manifest.content
        return RunInfo(
            id=self.id, name=self.dir.name, dir=self.dir, config=config, config_dict=to_dict(config),
            total_steps=config.updates * config.batch_size, start_steps=self.env_steps,
            resumed=self._resumed, exact=all(one["exact"] for one in manifest["resumes"][-1:]),
            started=started(manifest), earlier=partial(timed_rows, self.dir, manifest, self._updates),
            sweep=manifest["sweep"], quiet=quiet, algo=config.algo.name, env=config.env.id, seed=config.seed,
        )  # fmt: skip

    def _progress(self) -> dict[str, Any]:
        """Fields of the manifest about the run's progress."""
        return {
            "env_steps": self.env_steps,
            "updates": self.updates,
            "eval_return_mean": self._last_return,
            "best_return_mean": self._best_return,
        }

    def _exactness(self, checkpoint: Checkpoint) -> dict[str, Any]:
        """The manifest's fields about whether a run resumed from here is the same run, and why not."""
        lengths, history = (checkpoint.tensors.get(f"collector.{name}") for name in ("lengths", "history"))
        exact, reason = self._spec.exact_resume, self._spec.inexact_reason
        if lengths is not None and history is not None and int(lengths.max()) > len(history):
            exact, reason = (
                False,
                f"an episode is longer than env.replay_limit={self.config.env.replay_limit}",
            )
        return {"exact_resume": exact, "inexact_reason": reason}

    def _compare_with_earlier(self, row: Row) -> None:
        """Compares a row with the one an earlier process computed; warns of the first that differs."""
        before = self._earlier_rows.pop(row["update"], None)
        names = [] if before is None else differing(before, row)
        if names:
            shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
            self.warn(f"Update {row['update']} differs from before the resume: {shown}.")
            self._earlier_rows.clear()

    def _end_unwritten(self, exit_code: int, message: str) -> Result:
        """Ends the run on a disk that refuses writes: each part by itself, what fails left out."""
        with contextlib.suppress(StorageError):
            self._loggers.close("failed")
        with contextlib.suppress(StorageError):
            self._manifest.update(status="failed", finished=now(), exit_code=exit_code, message=message)
        self._close_files()
        return self._result("failed", exit_code, message)

    def _close_files(self) -> None:
        self._log.close()
        self._digests.close()
        self._alert_rows.close()
        self._lock.release()

    def _result(self, status: str, exit_code: int, message: str | None) -> Result:
        return Result(
            self._given_dir, self.id, status, self.env_steps, self.updates, self._last_return, exit_code,
            message,
        )  # fmt: skip
