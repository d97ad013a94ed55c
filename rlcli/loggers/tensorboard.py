"""TensorBoard logger: an event file (events.*) in the run directory; the horizontal axis is env steps.

The file is a copy of the record, metrics.jsonl. A resumed run writes it anew: all recorded rows, then its
own; the files of earlier processes are removed once those rows are on the disk. A killed process may leave
both, so the new file begins with a message that TensorBoard ignores what was logged before it.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import re
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rlcli.errors import UserError
from rlcli.loggers.interface import Row, RunInfo
from rlcli.loggers.tensorboard_layout import layout

FLUSH_EVERY = 2.0
"""Maximum seconds before logged rows are flushed to the operating system."""

OWN = re.compile(r"events\.out\.tfevents\.[0-9]{10}\..+\.[0-9]+\.[0-9]+")
"""Names of event files: time, host, process and number."""

_files = itertools.count()
"""Numbers of the files of this process: two made in one second need two names."""


def available() -> str | None:
    """None when TensorBoard is installed, else a message with how to install it."""
    if importlib.util.find_spec("tensorboard") is None:
        return "logger=tensorboard needs a package that is not installed: pip install tensorboard"
    return None


class TensorboardLogger:
    """Logger that writes each row as one summary; a list is logged as its last value.

    TensorBoard's own writers have a thread that opens the file by its name again and again: when that fails,
    it ends with a traceback on the terminal. Here the file stays open, and failures are the caller's.

    Raises:
        UserError: TensorBoard is not installed.
        OSError: the file cannot be made or written.
    """

    def __init__(self, info: RunInfo, _: Callable[[str], None] = lambda _: None) -> None:
        if missing := available():
            raise UserError(missing)
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # type: ignore[import-untyped]
        from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]
        from tensorboard.summary.writer.record_writer import RecordWriter  # type: ignore[import-untyped]
        from torch.utils.tensorboard.summary import custom_scalars, text

        self._summary: Callable[..., Any] = Summary
        self._event: Callable[..., Any] = Event
        # TensorBoard reads the files of a directory in the order of their names.
        begun, number = f"{int(time.time()):010d}", f"{next(_files):06d}"
        name = f"events.out.tfevents.{begun}.{socket.gethostname()}.{os.getpid()}.{number}"
        earlier = _own_files(info.dir.absolute())
        self._handle = (info.dir.absolute() / name).open("xb")
        self._file: Any = RecordWriter(self._handle)
        self._due = 0.0
        self._write(file_version="brain.Event:2")
        if info.resumed:
            # TensorBoard then ignores what earlier files have.
            self._write(session_log=SessionLog(status=SessionLog.START))
        config = json.dumps(info.config_dict, indent=2, default=str)
        self._write(summary=text("config", f"```json\n{config}\n```"))  # type: ignore[no-untyped-call]
        self._write(summary=custom_scalars(layout()))  # type: ignore[no-untyped-call]
        if info.resumed:
            for row, at in info.earlier():
                self._log(row, at)
            self._file.flush()
            os.fsync(self._handle.fileno())
            for path in earlier:
                path.unlink()

    def log(self, row: Row, /) -> None:
        """Writes one row."""
        self._log(row, time.time())

    def _log(self, row: Row, at: float) -> None:
        values = [
            {"tag": name, "simple_value": value[-1] if isinstance(value, list) else value}
            for name, value in row.items()
            if name != "env_steps" and value != []
        ]
        self._write(at, summary=self._summary(value=values), step=row["env_steps"])

    def message(self, text: str, /) -> None:
        """Does nothing: TensorBoard shows no messages."""

    def close(self, _status: str, /) -> None:
        """Flushes and closes the file."""
        self._file.close()

    def _write(self, at: float | None = None, **content: Any) -> None:
        now = time.time()
        self._file.write(self._event(wall_time=now if at is None else at, **content).SerializeToString())
        if now >= self._due:
            self._file.flush()
            self._due = now + FLUSH_EVERY


def _own_files(directory: Path) -> list[Path]:
    """The event files in a run directory that this logger wrote."""
    return [
        path
        for path in directory.glob("events.out.tfevents.*")
        if OWN.fullmatch(path.name) and path.is_file() and not path.is_symlink()
    ]
