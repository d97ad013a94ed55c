"""metrics.jsonl as the run that goes on needs it: what it held at a checkpoint, and what came after.

A checkpoint keeps the number and the checksum of the rows that were written by then, their times left out, so
that equal runs have equal checkpoints. Whoever goes on cuts the file there; a row changed since is found out.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlcli.errors import StorageError
from rlcli.loggers.jsonl import FILE_NAME
from rlcli.runs.files import open_plain, settle, storage_error
from rlcli.runs.packing import NOTHING, About, Span

RECORD = FILE_NAME
EVALUATED = "eval/return_mean"
FINAL = "eval/final"
TAIL = 2**20
"""Bytes at the end of the file that hold its last row."""
APART = ("time/", "eval/")
"""Figures that may differ between two passes through the same update."""
TIMES, EVALUATIONS = (re.compile(rb', "%s[^"]*": [^,}]*' % group) for group in (b"time/", b"eval/"))
"""Figures of a row as it is written."""
Row = dict[str, Any]


class Rows:
    """The growing file of a run, read again only where it grew."""

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / RECORD
        self._read = 0
        self._count = 0
        self._hash = hashlib.sha256()

    def settle(self) -> Span:
        """Has the rows written so far reach the disk; the span they are.

        Raises:
            StorageError: the disk is full, or refuses.
        """
        settle(self._path)
        try:
            content = b""
            if self._path.exists():
                with open_plain(self._path) as file:
                    file.seek(self._read)
                    content = file.read()
        except OSError as error:
            raise storage_error(self._path, error) from error
        self._read += len(content)
        self._count += content.count(b"\n")
        self._hash.update(TIMES.sub(b"", content))
        return Span(self._count, self._hash.hexdigest())


class Past:
    """The rows an earlier process left, those up to a checkpoint apart from those after it."""

    def __init__(self, run_dir: Path, about: About | None, updates: int) -> None:
        """`updates` are those of the whole run: a row of a later one is none that it wrote."""
        self._path = run_dir / RECORD
        try:
            lines = []
            if os.path.lexists(self._path):
                with open_plain(self._path) as file:
                    lines = file.read().splitlines(keepends=True)
        except OSError as error:
            raise storage_error(self._path, error) from error
        update, span, owed = (0, NOTHING, False) if about is None else (about.update, about.span, about.owed)
        self._kept = lines[: span.rows]
        rows = [_row(line) for line in self._kept]
        self.intact = None not in rows and _span(self._kept, owed) == span
        """Whether the rows up to the checkpoint are those that were written."""
        if not self.intact:
            self._kept = _up_to(lines, update)
        later = map(_row, lines[len(self._kept) :])
        self.after = {row["update"]: row for row in later if row is not None and row["update"] <= updates}
        """Rows after the checkpoint, by their update; they are computed again."""
        last = _row(self._kept[-1]) if self._kept else None
        self.last = last if last is not None and last["update"] == update else None
        """The row of the checkpoint's own update; None where it is lost."""

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
        found = self.last.get(EVALUATED) if self.last is not None and FINAL in self.last else None
        return found if isinstance(found, float) else None

    def drop_last(self) -> Row:
        """Takes out the row of the update itself, which is written again."""
        assert self.last is not None
        del self._kept[-1]
        return {name: value for name, value in self.last.items() if not name.startswith(APART)}

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


def _span(lines: Sequence[bytes], owed: bool) -> Span:
    """The span of lines; of the last without its evaluation where that is owed, for it may have been made."""
    last = [EVALUATIONS.sub(b"", line) if owed else line for line in lines[-1:]]
    content = TIMES.sub(b"", b"".join([*lines[:-1], *last]))
    return Span(content.count(b"\n"), hashlib.sha256(content).hexdigest())


def _up_to(lines: Sequence[bytes], update: int) -> list[bytes]:
    """The lines before the first row of a later update."""
    later = (n for n, line in enumerate(lines) if (row := _row(line)) is not None and row["update"] > update)
    return list(lines[: next(later, len(lines))])


def _row(line: bytes) -> Row | None:
    """A row, None when the line is torn or damaged."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) and type(row.get("update")) is int else None


def last_row(run_dir: Path) -> dict[str, float]:
    """The figures of the last whole row, lists left out; empty when there is no row.

    Raises:
        StorageError: the file is there, but is no plain file.
    """
    path = run_dir / RECORD
    if not os.path.lexists(path):
        return {}
    try:
        with open_plain(path) as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
            lines = file.read(TAIL).splitlines()
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror or error}.") from error
    for line in reversed(lines):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue  # torn by a crash
        if isinstance(row, dict):
            return {name: value for name, value in row.items() if _is_figure(value)}
    return {}


def _is_figure(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and abs(value) < 2.0**1023 and math.isfinite(value)
