"""metrics.jsonl as the run that goes on needs it: what it held at a checkpoint, and what came after.

A checkpoint keeps the length and the checksum of the rows that were written by then. Whoever goes on cuts the
file there; a row changed since is found out.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from rlcli.loggers.jsonl import FILE_NAME
from rlcli.runs.files import settle, storage_error
from rlcli.runs.packing import Span

RECORD = FILE_NAME
EVALUATED = "eval/return_mean"
FINAL = "eval/final"
APART = ("time/", "eval/")
"""Figures that may differ between two passes through the same update."""
Row = dict[str, Any]


class Rows:
    """The growing file of a run, read again only where it grew."""

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / RECORD
        self._length = 0
        self._hash = hashlib.sha256()

    def settle(self) -> Span:
        """Has the rows written so far reach the disk; the span they are.

        Raises:
            StorageError: the disk is full, or refuses.
        """
        settle(self._path)
        try:
            with self._path.open("rb") as file:
                file.seek(self._length)
                content = file.read()
        except FileNotFoundError:
            content = b""
        except OSError as error:
            raise storage_error(self._path, error) from error
        self._length += len(content)
        self._hash.update(content)
        return Span(self._length, self._hash.hexdigest())


class Past:
    """The rows an earlier process left, those up to an update apart from those after it."""

    def __init__(self, run_dir: Path, update: int, span: Span) -> None:
        self._path = run_dir / RECORD
        try:
            content = self._path.read_bytes() if self._path.exists() else b""
        except OSError as error:
            raise storage_error(self._path, error) from error
        self.intact = Span(span.bytes, hashlib.sha256(content[: span.bytes]).hexdigest()) == span
        """Whether the rows up to the update are those that were written."""
        self._kept = content[: span.bytes].splitlines(keepends=True)
        last = _row(self._kept[-1]) if self._kept else None
        self.last = last if last is not None and last["update"] == update else None
        """The row of the update itself; None where it is lost."""
        rows = (_row(line) for line in content[span.bytes :].splitlines())
        self.after = {row["update"]: row for row in rows if row is not None}
        """Rows after the update, by theirs; they are computed again."""

    @property
    def evaluation_was_cut(self) -> bool:
        """Whether the update's row says that an evaluation was due and ended before its last episode."""
        return self.last is not None and "time/evaluate" in self.last and EVALUATED not in self.last

    @property
    def last_return(self) -> float | None:
        """The mean return of the last evaluation among the rows that are kept."""
        for line in reversed(self._kept):
            row = _row(line) if EVALUATED.encode() in line else None
            if row is not None and isinstance(row.get(EVALUATED), float):
                return float(row[EVALUATED])
        return None

    @property
    def final_return(self) -> float | None:
        """The mean return of the update's own evaluation, if it was made only because the run ended."""
        return self.last[EVALUATED] if self.last is not None and FINAL in self.last else None

    def drop_last(self) -> Row:
        """Takes out the row of the update itself, which is written again."""
        assert self.last is not None
        del self._kept[-1]
        return {name: value for name, value in self.last.items() if name != "time/evaluate"}

    def cut(self) -> None:
        """Cuts the file after the rows that are kept.

        Raises:
            StorageError: it cannot be written.
        """
        try:
            if self._path.exists():
                os.truncate(self._path, sum(map(len, self._kept)))
        except OSError as error:
            raise storage_error(self._path, error) from error


def differing(before: Row, again: Row) -> list[str]:
    """Figures in which two rows of the same update differ, but for those that may."""
    names = [name for name in {**before, **again} if not name.startswith(APART)]
    return [name for name in names if before.get(name) != again.get(name)]


def _row(line: bytes) -> Row | None:
    """A row, None when the line is torn or damaged."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) and type(row.get("update")) is int else None
