"""metrics.jsonl: the record of a run, one JSON object per line, one line per update."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rlcli.catalog.assertions import FIGURE, message
from rlcli.errors import NonFiniteError, StorageError
from rlcli.loggers.interface import Row, RunInfo
from rlcli.loggers.numbers import row_as_json
from rlcli.plain import open_append, open_handle

FILE_NAME = "metrics.jsonl"
LONGEST_ROW = 2**20
"""Maximum bytes of a row, which are read at the end of a file to find its last one."""


class JsonlLogger:
    """Logger that appends rows to metrics.jsonl; each is flushed before the next update begins.

    Raises:
        StorageError: the file cannot be opened, written or closed.
        NonFiniteError: a row holds NaN or an infinity, which JSON has no number for.
    """

    def __init__(self, info: RunInfo, _: Callable[[str], None] = lambda _: None) -> None:
        self._path = info.dir / FILE_NAME
        self._file = open_append(self._path)
        try:
            _drop_torn_line(self._path)
        except OSError as error:
            self._file.close()
            raise self._failure(error) from error

    def log(self, row: Row, /) -> None:
        """Writes and flushes one row."""
        try:
            line = row_as_json(row)
        except ValueError as error:
            names = ", ".join(name for name, value in row.items() if not _finite(value))
            raise NonFiniteError(message(row["update"], [f"{FIGURE}: {names}"])) from error
        try:
            self._file.write(line + "\n")
            self._file.flush()
        except OSError as error:
            # The buffer keeps what could not be flushed; closed now, a later close cannot fail on it.
            with contextlib.suppress(OSError):
                self._file.close()
            raise self._failure(error) from error

    def message(self, text: str, /) -> None:
        """Does nothing: the record has rows only."""

    def close(self, _status: str, /) -> None:
        """Closes the file."""
        try:
            self._file.close()
        except OSError as error:
            raise self._failure(error) from error

    def _failure(self, error: OSError) -> StorageError:
        return StorageError(f"{self._path} could not be written: {error.strerror or error}.")


def _drop_torn_line(path: Path) -> None:
    """Cuts a last line without its newline, which a killed process may leave, before rows are appended."""
    with os.fdopen(open_handle(path, os.O_RDWR), "rb+") as file:
        start = max(0, file.seek(0, os.SEEK_END) - LONGEST_ROW)
        file.seek(start)
        tail = file.read()
        whole = tail.rfind(b"\n") + 1
        if whole < len(tail):
            file.truncate(start + whole)


def _finite(value: Any) -> bool:
    numbers = value if isinstance(value, list) else [value]
    return all(math.isfinite(number) for number in numbers)
