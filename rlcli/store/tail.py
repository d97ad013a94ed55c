"""New rows of a growing metrics.jsonl: each is read once, also where a resume cut the file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from rlcli.store.files import open_plain, storage_error
from rlcli.store.rows import RECORD, Row, blocks, parsed

SEEN = 256
"""Bytes before the position that are compared, to notice that the file was cut and written again."""


class New(NamedTuple):
    """What a look at the file found."""

    rows: list[Row]
    anew: bool
    """Whether the rows are all there are, since those read before are not in the file any more."""


class Tail:
    """Reader of the rows that a run adds; a row that is being written is read when it is whole."""

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / RECORD
        self._offset = 0
        self._seen = b""

    def read(self) -> New:
        """The rows since the last call; damaged lines are left out.

        Raises:
            StorageError: the file exists, but cannot be read.
        """
        if not os.path.lexists(self._path):
            anew = self._offset > 0
            self._offset, self._seen = 0, b""
            return New([], anew)
        try:
            with open_plain(self._path) as file:
                file.seek(self._offset - len(self._seen))
                anew = file.read(len(self._seen)) != self._seen
                if anew:
                    self._offset, self._seen = 0, b""
                file.seek(self._offset)
                rows: list[Row] = []
                for block in blocks(file, self._path):
                    whole = block[: block.rfind(b"\n") + 1]
                    rows += [row for row in map(parsed, whole.splitlines()) if row is not None]
                    self._offset += len(whole)
                    self._seen = (self._seen + whole)[-SEEN:]
                return New(rows, anew)
        except FileNotFoundError:
            return New([], False)
        except OSError as error:
            raise storage_error(self._path, error) from error

    def age(self, now: float) -> float | None:
        """Seconds since the file was written last, by the clock of its file system; None without a file."""
        try:
            return max(0.0, now - self._path.stat().st_mtime)
        except OSError:
            return None
