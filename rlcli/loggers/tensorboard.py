"""TensorBoard event files (events.*) in the run directory; the horizontal axis is env steps."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from typing import Any

from rlcli.errors import UserError
from rlcli.loggers.interface import Row, RunInfo


def available() -> str | None:
    """None when TensorBoard is installed, else what is missing and how to install it."""
    if importlib.util.find_spec("tensorboard") is None:
        return "logger=tensorboard needs a package that is not installed: pip install tensorboard"
    return None


class TensorboardLogger:
    """Writes each row as one summary; a list is logged as its last value.

    Raises:
        UserError: TensorBoard is not installed.
    """

    def __init__(self, info: RunInfo, _: Callable[[str], None] = lambda _: None) -> None:
        if missing := available():
            raise UserError(missing)
        # FileWriter is what SummaryWriter writes through: a row in one event instead of one for each figure.
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # type: ignore[import-untyped]
        from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]
        from torch.utils.tensorboard import FileWriter
        from torch.utils.tensorboard.summary import text

        self._summary: Callable[..., Any] = Summary
        self._writer: Any = FileWriter(str(info.dir.absolute()))
        if info.resumed:
            # TensorBoard then leaves out what an earlier process logged from this step on.
            start = SessionLog(status=SessionLog.START)
            self._writer.add_event(Event(session_log=start), info.start_steps + 1)
        config = json.dumps(info.config_dict, indent=2, default=str)
        self._writer.add_summary(text("config", f"```json\n{config}\n```"), info.start_steps)  # type: ignore[no-untyped-call]

    def log(self, row: Row, /) -> None:
        """Queues one row; a thread of TensorBoard's writes it."""
        values = [
            {"tag": name, "simple_value": value[-1] if isinstance(value, list) else value}
            for name, value in row.items()
            if name != "env_steps" and value != []
        ]
        self._writer.add_summary(self._summary(value=values), row["env_steps"])

    def message(self, text: str, /) -> None:
        """Nothing: TensorBoard has no reader while a run trains."""

    def close(self, _status: str, /) -> None:
        """Writes what is queued and closes the file."""
        self._writer.close()
