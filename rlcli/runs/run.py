"""One run being trained: its directory, its loggers, its checkpoints, and how it ends."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save

from rlcli.backends.session import Checkpoint, Failure, Row
from rlcli.collect.evaluation import Evaluation
from rlcli.config.schema import RunConfig
from rlcli.config.serialise import to_dict, to_yaml
from rlcli.envs.spec import EnvSpec
from rlcli.errors import EXIT_CRASH, EXIT_DONE, RlcliError, StorageError
from rlcli.loggers.interface import RunInfo, make_loggers
from rlcli.runs.checkpoint import Checkpoints
from rlcli.runs.files import storage_error, write_atomically
from rlcli.runs.manifest import Manifest, now


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


class Run:
    """Records one run; knows nothing of how it is trained."""

    def __init__(
        self,
        config: RunConfig,
        run_dir: Path,
        spec: EnvSpec,
        *,
        overrides: Sequence[str] = (),
        cohort: Sequence[str] = (),
        quiet: bool = False,
    ) -> None:
        self.config = config
        self.dir = run_dir
        self.updates = 0
        self._started = time.perf_counter()
        self._logging = 0.0
        self._last_return: float | None = None
        self._checkpoint_at: int | None = None
        try:
            run_dir.mkdir(parents=True, exist_ok=True)
            self._log = (run_dir / "train.log").open("a", encoding="utf-8")
        except OSError as error:
            raise storage_error(run_dir, error) from error
        write_atomically(run_dir / "config.yaml", to_yaml(config).encode())
        self.manifest = Manifest.begin(run_dir, config, overrides, spec, cohort)
        self.checkpoints = Checkpoints(run_dir, config.checkpoint.keep)
        info = RunInfo(
            id=self.id, name=run_dir.name, dir=run_dir, config=config, config_dict=to_dict(config),
            total_steps=config.updates * config.batch_size, sweep=self.manifest.content["sweep"], quiet=quiet,
            algo=config.algo.name, env=config.env.id, seed=config.seed,
        )  # fmt: skip
        self.say(f"started: {' '.join(self.manifest.content['command'])}")
        self._loggers = make_loggers(info, self.warn)
        if not spec.exact_resume:
            self.warn(f"This run cannot be resumed exactly: {spec.inexact_reason}")

    @property
    def id(self) -> str:
        """The run's id."""
        return str(self.manifest.content["id"])

    @property
    def env_steps(self) -> int:
        """Env steps of the updates done."""
        return self.updates * self.config.batch_size

    @property
    def done(self) -> bool:
        """Whether all updates are done."""
        return self.updates >= self.config.updates

    def reached(self, every: int) -> bool:
        """Whether the last update was the first to reach a multiple of `every` env steps; never for 0."""
        before = self.env_steps - self.config.batch_size
        return every > 0 and self.env_steps // every > before // every

    def record(self, row: Row, evaluation: Evaluation | None, seconds: dict[str, float]) -> None:
        """Logs the row of an update, with the evaluation that followed it and the seconds things took."""
        self.updates = row["update"]
        if evaluation is not None:
            row |= evaluation.figures()
            self._last_return = row["eval/return_mean"]
        spent = sum(row.get(f"time/{part}", 0.0) for part in ("collect", "learn", "health")) + self._logging
        row |= seconds | {
            "time/steps_per_second": self.config.batch_size / (spent + sum(seconds.values())),
            "time/elapsed": time.perf_counter() - self._started,
            "time/log": self._logging,
        }
        begun = time.perf_counter()
        self._loggers.log(row)
        self._logging = time.perf_counter() - begun

    def save(self, checkpoint: Checkpoint, evaluation: Evaluation | None = None) -> None:
        """Saves a state; it becomes the best if its evaluation is higher than all before (earlier wins)."""
        best = None
        if evaluation is not None:
            found, mean = self.checkpoints.best_return, float(evaluation.returns.mean())
            best = mean if found is None or mean > found else None
            if best is None and not self.reached(self.config.checkpoint.every) and not self.done:
                return
        path = self.checkpoints.save(checkpoint, checkpoint.update * self.config.batch_size, best)
        self._checkpoint_at = checkpoint.update
        self.say(f"update {checkpoint.update}: saved {path.name}" + (", the best" if best is not None else ""))
        changed: dict[str, Any] = {"env_steps": self.env_steps, "updates": self.updates,
                                   "eval_return_mean": self._last_return}  # fmt: skip
        if best is not None:
            changed["best_return_mean"] = best
        self.manifest.update(**changed)

    def end(self, status: str, exit_code: int = EXIT_DONE, message: str | None = None) -> Result:
        """Closes everything; the manifest says how it went."""
        self.say(f"{status}" + (f": {message}" if message else ""))
        try:
            self._loggers.close(status)
        except StorageError as error:
            status, exit_code, message = "failed", error.exit_code, str(error)
        result = Result(
            self.dir, self.id, status, self.env_steps, self.updates, self._last_return, exit_code, message
        )
        self.manifest.update(
            status=status, finished=now(), env_steps=self.env_steps, updates=self.updates,
            eval_return_mean=self._last_return, exit_code=exit_code, message=message,
        )  # fmt: skip
        self._log.close()
        return result

    def fail(self, failure: Failure, last_good: Checkpoint | None) -> Result:
        """Ends the run as failed: the traceback in train.log, the last good state and the batch saved."""
        error = failure.error
        code = error.exit_code if isinstance(error, RlcliError) else EXIT_CRASH
        message = str(error) if isinstance(error, RlcliError) else f"{type(error).__name__}: {error}"
        try:
            self.say("".join(traceback.format_exception(error)).rstrip())
            if failure.batch:
                content = save({name: field.contiguous() for name, field in failure.batch.items()})
                write_atomically(self.dir / "failed_batch.safetensors", content)
                self.say(f"update {failure.update}: its batch lies in failed_batch.safetensors")
            if last_good is not None and not isinstance(error, StorageError):
                self.save(last_good)
            return self.end("failed", code, message)
        except StorageError as storage:
            return self._end_on_full_disk(storage)

    def abandon(self, exit_code: int) -> None:
        """Ends the record without waiting for anything: the process is about to be gone."""
        self.manifest.update(
            status="interrupted", finished=now(), env_steps=self.env_steps, updates=self.updates,
            exit_code=exit_code, message="ended at once",
        )  # fmt: skip
        if sys.stderr.isatty():
            sys.stderr.write("\x1b[?25h\n")

    def say(self, text: str) -> None:
        """A line in train.log."""
        try:
            self._log.write(f"{now()} {text}\n")
            self._log.flush()
        except OSError as error:
            raise storage_error(self.dir / "train.log", error) from error

    def warn(self, text: str) -> None:
        """A line in train.log and on stderr."""
        self.say(f"warning: {text}")
        print(f"Warning: {text}", file=sys.stderr)

    def announce(self, text: str) -> None:
        """A line beside the progress."""
        self._loggers.message(text)

    def _end_on_full_disk(self, error: StorageError) -> Result:
        """The manifest may not be writable either; the result says what happened all the same."""
        for last_word in (self._loggers.close,):
            try:
                last_word("failed")
            except StorageError:
                continue
        try:
            self.manifest.update(
                status="failed", finished=now(), exit_code=error.exit_code, message=str(error)
            )
        except StorageError:
            pass
        return Result(
            self.dir, self.id, "failed", self.env_steps, self.updates, self._last_return,
            error.exit_code, str(error),
        )  # fmt: skip
