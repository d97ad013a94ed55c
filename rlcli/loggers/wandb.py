"""Weights & Biases logger: one W&B run per run, in the run directory; a copy of the record, metrics.jsonl.

The W&B run has the run's id, and a row has its update as the step. A resumed run continues the same W&B run:
online it sends the recorded rows that the server lacks, then its own, but none that the server has already;
offline it writes all rows anew into one file, which supersedes the earlier ones (`loggers/wandb_history.py`).

Offline unless the user is logged in or sets the mode. W&B itself prompts for nothing and prints nothing, and
what costs time beside the rows (system statistics, console capture, code saving) is off.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from rlcli.errors import UserError
from rlcli.loggers.interface import Row, RunInfo
from rlcli.loggers.wandb_history import (
    OtherHistory,
    batches,
    known,
    remove_superseded,
    run_id,
    segments,
)
from rlcli.loggers.wandb_process import INIT_TIMEOUT, begin, check_links, contained
from rlcli.loggers.wandb_rows import sender, through_log
from rlcli.text import as_typed

Mode = Literal["online", "offline", "disabled"]

FLUSH_EVERY = 0.5
"""Seconds between batches of rows handed to W&B."""

MODES: dict[str, Mode] = {
    "online": "online", "run": "online", "shared": "online",
    "offline": "offline", "dryrun": "offline", "disabled": "disabled",
}  # fmt: skip
"""W&B's names for its modes, in WANDB_MODE and in its settings files."""
EXIT_CODES = {"finished": 0, "pruned": 0, "interrupted": 130}
"""Exit code of the W&B run by status; any other status is a failure, 1."""

_warned: set[str] = set()
"""Topics this process has warned about: each once, and no later run waits for the server again."""


def available() -> str | None:
    """None when W&B's SDK is installed, else a message with how to install it."""
    if importlib.util.find_spec("wandb") is None:
        return "W&B needs a package that is not installed: pip install wandb"
    return None


class WandbLogger:
    """Logger of rows to one W&B run; `epochs/...` lists are logged as their last value.

    Raises:
        UserError: the SDK is not installed.
        StorageError: there is a link where W&B would write.
    """

    def __init__(self, info: RunInfo, warn: Callable[[str], None] = lambda _: None) -> None:
        self._info, self._warn = dataclasses.replace(info, dir=info.dir.absolute()), warn
        self._run: Any = None
        self._last: dict[str, Any] = {}
        self._waiting: list[tuple[Row, float]] = []
        """Rows, each with its time."""
        self._next_step = 0
        """The first update whose row W&B's server lacks."""
        self._due: float | None = None
        """When they are handed over: not at once, as W&B takes a second to start."""
        self._requested = asked_mode(info.config.wandb.mode)
        self._started = self._requested == "disabled"
        if self._started:
            return
        if missing := available():
            raise UserError(missing)
        check_links(info.dir)

    def log(self, row: Row, /) -> None:
        """Queues a row; if due, hands the queue to W&B's process, which writes and uploads it."""
        if self._started and self._run is None:
            return
        now = time.time()
        self._waiting.append((dict(row), now))
        if self._due is None:
            self._due = now + FLUSH_EVERY
        elif now >= self._due:
            self.settle()
            self._due = time.time() + FLUSH_EVERY

    def settle(self) -> None:
        """Hands over the rows that wait."""
        if not self._waiting:
            return
        if not self._started:
            self._start()
        batch, self._waiting = self._waiting, []
        if self._run is not None:
            self._send([(row, at) for row, at in batch if row["update"] >= self._next_step])
            for row, _ in batch:
                self._last.update(row)

    def _start(self) -> None:
        """Starts W&B's process and its run, unless W&B's own settings disable it."""
        self._started = True
        with contained(self._info.dir):
            mode = _resolve(self._requested, self._warn)
            if mode == "disabled":
                return
            self._run, self._offline = _start(self._info, mode, self._warn)
            # Offline nobody reads the summary, and keeping it costs a third of a row: written at the end.
            summary = {"summary": "none"} if self._offline else {}
            self._run.define_metric("*", step_metric="env_steps", **summary)
            begun = self._info.started if self._info.resumed else None
            self._send = sender(self._run, begun) if self._offline else through_log(self._run)
            if self._info.resumed:
                self._log_earlier()

    def _log_earlier(self) -> None:
        """Logs the recorded rows of earlier processes that the W&B run lacks."""
        there = 0 if self._offline else self._known_rows()
        send = sender(self._run, self._info.started)
        for batch in batches(self._info.earlier(), there):
            send(batch)
            for row, _ in batch:
                self._last.update(row)

    def _known_rows(self) -> int:
        """How many of the recorded rows W&B's server has; later rows that it has are not sent either."""
        info, run = self._info, self._run
        self._next_step = int(run.starting_step) if run.resumed else 0
        updates = [row["update"] for row, _ in info.earlier()]
        try:
            found = known(run, updates)
        except OtherHistory as other:
            self._warn(_other(info, run, f"other rows than this run's record: {other}"))
            return sum(update < self._next_step for update in updates)
        later = self._next_step - 1 - (updates[-1] if updates else 0)
        if later > 0 and not info.exact:
            what = f"{later:,} rows of updates that are now computed again, otherwise"
            self._warn(_other(info, run, what))
        return found

    def message(self, text: str, /) -> None:
        """Does nothing: W&B shows rows only."""

    def alert(self, title: str, text: str, update: int, /) -> None:
        """Sends an alert, unless the server has the row of its update already."""
        self.settle()
        if self._run is not None and update >= self._next_step:
            self._run.alert(title=f"{self._info.name}: {title}", text=text, level="WARN")

    def close(self, status: str, /) -> None:
        """Finishes the W&B run, as failed unless the run finished."""
        if not self._started:
            self._start()
        run = self._run
        if run is None:
            return
        try:
            self.settle()
            run.summary.update({**(self._last if self._offline else {}), "status": status})
        finally:
            self._run = None
            run.finish(exit_code=EXIT_CODES.get(status, 1))
        if self._offline and self._info.resumed:
            remove_superseded(self._info.dir, Path(run.settings.sync_dir))


def asked_mode(configured: str) -> Mode | None:
    """Mode set by the configuration, else by WANDB_MODE; None when neither sets one."""
    return MODES.get(os.environ.get("WANDB_MODE", "") if configured == "auto" else configured)


def _resolve(requested: Mode | None, warn: Callable[[str], None]) -> Mode:
    """Mode to start in: the one requested, else that of W&B's settings, else by whether there is an API key.

    Reads files and the environment only; neither the user nor a server is asked.
    """
    import wandb

    settings = wandb.setup(wandb.Settings(silent=True)).settings
    if requested is None and settings.mode in MODES and MODES[settings.mode] != "online":
        return MODES[settings.mode]
    if requested == "offline":
        return "offline"
    settings.mode = "online"  # in another one it says that nobody is logged in
    try:
        logged_in = wandb.login(prompt=False, verify=False)
    except wandb.errors.AuthenticationError as error:
        _warn_once("credentials", f"W&B: the credentials cannot be used: {error}", warn)
        return "offline"
    if requested == "online" and not logged_in:
        _warn_once("login", "W&B: nobody is logged in (try: wandb login).", warn)
    return "online" if logged_in else "offline"


def _start(info: RunInfo, mode: Mode, warn: Callable[[str], None]) -> tuple[Any, bool]:
    """The W&B run, and whether it is offline: also when the server did not answer, now or before."""
    import wandb

    if mode == "online" and "server" not in _warned:
        present = segments(info.dir)
        try:
            return _init(info, "online"), False
        except wandb.errors.Error as error:
            reason = str(error).partition("\n")[0] or f"no answer within {INIT_TIMEOUT:.0f} s"
            _warn_once("server", f"W&B: no run could be started on its server: {reason}.", warn)
        for empty in set(segments(info.dir)) - set(present):
            shutil.rmtree(empty, ignore_errors=True)
        # What could not start keeps its id to itself as long as W&B's process lives.
        return _init(info, "offline", "-offline"), True
    return _init(info, "offline"), True


def _init(info: RunInfo, mode: Literal["online", "offline"], suffix: str = "") -> Any:
    own = _agents_id() or info.id
    return begin(
        info, mode, run_id(info.dir, own) + suffix, info.dir,
        # Offline nobody says what is there, and a complete file continues nothing.
        resume="allow" if info.resumed and mode == "online" else None,
    )  # fmt: skip


def _agents_id() -> str | None:
    """The id that an agent of a W&B sweep gave the W&B run; None if no agent started this process."""
    return os.environ.get("WANDB_RUN_ID") if os.environ.get("WANDB_SWEEP_ID") else None


def _other(info: RunInfo, run: Any, what: str) -> str:
    """Warning that W&B's server holds rows that are not the record's."""
    return (
        f"W&B: the run {run.id} on its server holds {what}. These stay; to upload the record as another W&B "
        f"run: rlcli sync {as_typed(info.dir)} --id {info.id}-2"
    )


def _warn_once(topic: str, text: str, warn: Callable[[str], None]) -> None:
    if topic not in _warned:
        _warned.add(topic)
        warn(f"{text.rstrip('.')}. Runs are logged offline; `rlcli sync` uploads them later.")
