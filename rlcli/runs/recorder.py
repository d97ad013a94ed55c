"""One run being trained: its directory, its loggers, its checkpoints, and how it ends."""

from __future__ import annotations

import contextlib
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save

from rlcli import streams
from rlcli.backends.session import Array, Checkpoint, Failure, Row
from rlcli.collect.evaluation import Evaluation
from rlcli.config.schema import RunConfig
from rlcli.config.serialise import to_dict, to_yaml
from rlcli.envs.spec import EnvSpec
from rlcli.errors import EXIT_CRASH, EXIT_DONE, RlcliError, StorageError, UserError
from rlcli.loggers.interface import Loggers, RunInfo, make_loggers
from rlcli.store.checkpoints import Checkpoints
from rlcli.store.digests import FILE as DIGESTS
from rlcli.store.digests import Digests
from rlcli.store.files import LineFile, holds, is_there, settle, storage_error, write_atomically
from rlcli.store.layout import check_run
from rlcli.store.lock import Lock
from rlcli.store.manifest import FILE, Manifest, now
from rlcli.store.rows import Position, Rows, differing
from rlcli.text import described, message_of, trace, visible

LONGEST_ENTRY = 2**18
"""Characters of one entry in train.log; the text of an environment's exception may be of any length."""
LONGEST_MESSAGE = 4000
"""Characters of what manifest.json says of an error."""
MEASURED = ("time/collect", "time/learn", "time/health")
"""Seconds of an update that the session measures."""


@dataclass(frozen=True)
class Result:
    """How a run ended."""

    dir: Path
    id: str
    status: str
    """finished, failed, interrupted or pruned."""
    env_steps: int
    updates: int
    eval_return_mean: float | None
    """Mean return of the last evaluation."""
    exit_code: int
    message: str | None


@dataclass(frozen=True)
class TakenUp:
    """What a run that goes on brings with it from the process before."""

    last_return: float | None
    """Mean return of the last evaluation."""
    owed: Row | None
    """The row of an update whose evaluation was cut short: it is evaluated and recorded again."""
    rows: Mapping[int, Row]
    """Rows that will be computed again, by their update."""
    position: Position | None = None
    """The end of the rows that stay, with their checksum."""


NEW = TakenUp(None, None, {})


class Run:
    """Records one run; knows nothing of how it is trained."""

    def __init__(
        self,
        config: RunConfig,
        manifest: Manifest,
        lock: Lock,
        spec: EnvSpec,
        *,
        updates: int = 0,
        taken_up: TakenUp = NEW,
        quiet: bool = False,
    ) -> None:
        """Opens the files of a run whose config and manifest are written; `updates` are done."""
        self.config = config
        self._given = manifest.path.parent
        """Its directory as whoever started it named it."""
        manifest.path = manifest.path.absolute()  # whatever the current folder becomes
        self.dir = manifest.path.parent
        self.updates = updates
        self.owed = taken_up.owed
        self._manifest, self._lock, self._spec = manifest, lock, spec
        self._started = time.perf_counter()
        self._logging = 0.0
        self._cut = False
        """Whether the evaluation after the last update was cut short."""
        self._cut_told = False
        """Whether it was said that an evaluation had episodes without an end."""
        self._last_return = taken_up.last_return
        self._past = dict(taken_up.rows)
        self._checkpoints = Checkpoints(self.dir, config.checkpoint.keep)
        self._best_return = self._checkpoints.best_return
        self._rows = Rows(self.dir, taken_up.position)
        self._log, self._digests = (
            LineFile(self.dir / "train.log"),
            Digests(self.dir, updates, config.digest.every),
        )
        self._loggers = Loggers({}, self.warn)
        try:
            begun = f"resumed after update {updates}" if self._resumed else "started"
            self.say(f"{begun}: {shlex.join(sys.argv)}")
            self._loggers = make_loggers(self._info(quiet), self.warn)
        except StorageError as error:
            self.fail(Failure(error, updates), None)
            raise

    @classmethod
    def begin(
        cls,
        config: RunConfig,
        run_dir: Path,
        spec: EnvSpec,
        *,
        overrides: Sequence[str] = (),
        cohort: Sequence[str] = (),
        updates: int = 0,
        quiet: bool = False,
        reproduces: str | None = None,
    ) -> Run:
        """A new run in its directory; `updates` were done elsewhere.

        Raises:
            UserError: the directory holds a run, or another process is at it.
            StorageError: it cannot be written to.
        """
        _check_unused(run_dir)
        try:
            run_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(run_dir, error) from error
        lock = Lock(run_dir)
        try:
            _check_unused(run_dir)  # once more: another process may have come and gone
            check_run(run_dir)
            text = to_yaml(config).encode()
            if not holds(run_dir / "config.yaml", text):  # a sweep has frozen its jobs' configs
                write_atomically(run_dir / "config.yaml", text)
            manifest = Manifest.begin(run_dir, config, overrides, spec, cohort, reproduces)
            return cls(config, manifest, lock, spec, updates=updates, quiet=quiet)
        except BaseException:
            lock.release()
            raise

    @property
    def id(self) -> str:
        """The run's id."""
        return str(self._manifest.content["id"])

    @property
    def env_steps(self) -> int:
        """Env steps of the updates done."""
        return self.updates * self.config.batch_size

    @property
    def done(self) -> bool:
        """Whether all updates are done."""
        return self.updates >= self.config.updates

    @property
    def evaluation_due(self) -> bool:
        """Whether the last update is one that evaluation follows."""
        return self.config.eval.episodes > 0 and (self.done or self._reached(self.config.eval.every))

    @property
    def checkpoint_due(self) -> bool:
        """Whether the last update is one whose state is saved."""
        return self.done or self._reached(self.config.checkpoint.every)

    @property
    def _resumed(self) -> bool:
        return bool(self._manifest.content["resumes"])

    @property
    def digest_due(self) -> bool:
        """Whether the last update is one whose digests are written."""
        every = self.config.digest.every
        return self.done or (every > 0 and self.updates % every == 0)

    def record(
        self,
        row: Row,
        evaluation: Evaluation | None,
        seconds: float,
        views: Callable[[], Mapping[str, Array]],
    ) -> None:
        """Logs the row of an update, with the evaluation that followed it and the seconds that took.

        `views` gives the run's state, for its digests.
        """
        if evaluation is not None:
            row |= evaluation.figures()
            if not self._reached(self.config.eval.every):
                row["eval/final"] = 1.0
            self._last_return = row["eval/return_mean"]
            self._tell_of_cut(evaluation)
        self._cut = self.evaluation_due and evaluation is None
        if self.evaluation_due:
            row["time/evaluate"] = seconds
        spent = sum(row.get(name, 0.0) for name in MEASURED) + seconds + self._logging
        row |= {
            "time/steps_per_second": self.config.batch_size / spent,
            "time/elapsed": time.perf_counter() - self._started,
            "time/log": self._logging,
        }
        self._compare(row)
        begun = time.perf_counter()
        self._loggers.log(row)
        if self.digest_due:
            self._digests.add(row, views())
        self._logging = time.perf_counter() - begun

    def improves(self, evaluation: Evaluation | None) -> bool:
        """Whether the evaluation is higher than all before; of equals the earlier wins."""
        if evaluation is None:
            return False
        return self._best_return is None or float(evaluation.returns.mean()) > self._best_return

    def save(self, checkpoint: Checkpoint, best: bool = False, again: bool = False) -> None:
        """Saves a state, with `best` as that of the highest evaluation, which was the last.

        `again` writes what is there of the same update anew.
        """
        if best:
            self._best_return = self._last_return
        # What the checkpoint follows is on the disk before it is.
        rows = self._rows.settle()
        settle(self.dir / DIGESTS)
        path = self._checkpoints.save(
            checkpoint,
            checkpoint.update * self.config.batch_size,
            self._best_return if best else None,
            due=self._reached(self.config.checkpoint.every),
            final=not self._reached(self.config.eval.every),
            owed=self._cut,
            again=again,
            rows=rows,
        )
        self.say(f"update {checkpoint.update}: saved {path.name}" + (", the best" if best else ""))
        self._manifest.update(**self._standing(), **self._exactness(checkpoint), saved=checkpoint.update)

    def end(self, status: str, exit_code: int = EXIT_DONE, message: str | None = None) -> Result:
        """Closes everything; the manifest says how it went.

        Raises:
            StorageError: something could not be written to its end.
        """
        self.say(f"{status}: {message}" if message else status)
        self._loggers.close(status)
        self._manifest.update(
            status=status, finished=now(), exit_code=exit_code, message=message, **self._standing()
        )
        self._close_files()
        return self._result(status, exit_code, message)

    def fail(self, failure: Failure, last_good: Checkpoint | None) -> Result:
        """Ends the run as failed: the traceback in train.log, the last good state and the batch saved."""
        error = failure.error
        code = error.exit_code if isinstance(error, RlcliError) else EXIT_CRASH
        message = message_of(error) if isinstance(error, RlcliError) else described(error)
        message = visible(message[:LONGEST_MESSAGE])
        try:
            self._explain(failure)
            if last_good is not None:
                self.save(last_good)
            return self.end("failed", code, message)
        except StorageError as storage:
            if not isinstance(error, StorageError):
                code, message = storage.exit_code, f"{message} Then: {storage}"
            return self._end_unwritten(code, message)

    def abandon(self, exit_code: int) -> None:
        """Ends the record without waiting for anything: the process is about to be gone."""
        streams.show_cursor()  # the panel hides it
        self._manifest.update(
            status="interrupted", finished=now(), exit_code=exit_code, message="ended at once",
            **self._standing(),
        )  # fmt: skip
        self._lock.release()

    def say(self, text: str) -> None:
        """An entry in train.log, which holds no character that steers a terminal."""
        self._log.write(f"{now()} {visible(text[:LONGEST_ENTRY])}")

    def warn(self, text: str, aloud: bool = True) -> None:
        """A line in train.log and, if it is to be said aloud, on stderr."""
        if aloud:
            streams.say(f"Warning: {text}")
        self.say(f"warning: {text}")

    def announce(self, text: str) -> None:
        """A line beside the progress."""
        self._loggers.message(text)

    def _tell_of_cut(self, evaluation: Evaluation) -> None:
        """Says that episodes of an evaluation had no end; aloud the first time."""
        if evaluation.cut:
            self.warn(
                f"Evaluation after update {self.updates}: {evaluation.cut} of {len(evaluation.returns)} "
                f"episodes did not end and were cut after {self.config.eval.max_steps:,} steps "
                "(eval.max_steps); their returns are of the steps played.",
                aloud=not self._cut_told,
            )
            self._cut_told = True

    def _reached(self, every: int) -> bool:
        """Whether the last update was the first to reach a multiple of `every` env steps; never for 0."""
        before = self.env_steps - self.config.batch_size
        return every > 0 and self.updates > 0 and self.env_steps // every > before // every

    def _info(self, quiet: bool) -> RunInfo:
        config = self.config
        return RunInfo(
            id=self.id, name=self.dir.name, dir=self.dir, config=config, config_dict=to_dict(config),
            total_steps=config.updates * config.batch_size, start_steps=self.env_steps,
            resumed=self._resumed, sweep=self._manifest.content["sweep"], quiet=quiet,
            algo=config.algo.name, env=config.env.id, seed=config.seed,
        )  # fmt: skip

    def _standing(self) -> dict[str, Any]:
        """How far the run has come, as the manifest tells it."""
        return {
            "env_steps": self.env_steps,
            "updates": self.updates,
            "eval_return_mean": self._last_return,
            "best_return_mean": self._best_return,
        }

    def _exactness(self, checkpoint: Checkpoint) -> dict[str, Any]:
        """Whether a run that goes on from here is the same run, and why not, as the manifest tells it."""
        lengths, history = (checkpoint.tensors.get(f"collector.{name}") for name in ("lengths", "history"))
        exact, reason = self._spec.exact_resume, self._spec.inexact_reason
        if lengths is not None and history is not None and int(lengths.max()) > len(history):
            exact, reason = (
                False,
                f"an episode is longer than env.replay_limit={self.config.env.replay_limit}",
            )
        return {"exact_resume": exact, "inexact_reason": reason}

    def _compare(self, row: Row) -> None:
        """Holds a row against the one an earlier process computed; tells of the first that differs."""
        before = self._past.pop(row["update"], None)
        names = [] if before is None else differing(before, row)
        if names:
            shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
            self.warn(f"Update {row['update']} came out otherwise than before it was resumed: {shown}.")
            self._past.clear()

    def _explain(self, failure: Failure) -> None:
        """Why the run failed, for whoever looks afterwards."""
        self.say(trace(failure.error))
        if failure.batch:
            content = save({name: field.contiguous() for name, field in failure.batch.items()})
            write_atomically(self.dir / "failed_batch.safetensors", content)
            self.say(f"update {failure.update}: its batch lies in failed_batch.safetensors")

    def _end_unwritten(self, exit_code: int, message: str) -> Result:
        """The end on a disk that takes nothing: each part on its own, what cannot be written left out."""
        with contextlib.suppress(StorageError):
            self._loggers.close("failed")
        with contextlib.suppress(StorageError):
            self._manifest.update(status="failed", finished=now(), exit_code=exit_code, message=message)
        self._close_files()
        return self._result("failed", exit_code, message)

    def _close_files(self) -> None:
        self._log.close()
        self._digests.close()
        self._lock.release()

    def _result(self, status: str, exit_code: int, message: str | None) -> Result:
        return Result(
            self._given, self.id, status, self.env_steps, self.updates, self._last_return, exit_code, message
        )


def _check_unused(run_dir: Path) -> None:
    """Raises `UserError` when a directory holds a run."""
    if is_there(run_dir / FILE):
        raise UserError(f"{run_dir} already holds a run.")
