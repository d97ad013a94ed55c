"""metrics.jsonl as the run that goes on needs it: what it held at a checkpoint, and what came after.

A checkpoint keeps the number and the checksum of the rows that were written by then, their times left out, so
that equal runs have equal checkpoints. Whoever goes on cuts the file there; a row changed since is found out.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlcli.loggers.jsonl import FILE_NAME
from rlcli.runs.files import settle, storage_error
from rlcli.runs.packing import NOTHING, About, Span

RECORD = FILE_NAME
EVALUATED = "eval/return_mean"
FINAL = "eval/final"
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
            with self._path.open("rb") as file:
                file.seek(self._read)
                content = file.read()
        except FileNotFoundError:
            content = b""
        except OSError as error:
            raise storage_error(self._path, error) from error
        self._read += len(content)
        self._count += content.count(b"\n")
        self._hash.update(TIMES.sub(b"", content))
        return Span(self._count, self._hash.hexdigest())


class Past:
    """The rows an earlier process left, those up to a checkpoint apart from those after it."""

    def __init__(self, run_dir: Path, about: About | None) -> None:
        self._path = run_dir / RECORD
        try:
            lines = self._path.read_bytes().splitlines(keepends=True) if self._path.exists() else []
        except OSError as error:
            raise storage_error(self._path, error) from error
        update, span, owed = (0, NOTHING, False) if about is None else (about.update, about.span, about.owed)
        self._kept = lines[: span.rows]
        rows = [_row(line) for line in self._kept]
        self.intact = None not in rows and _span(self._kept, owed) == span
        """Whether the rows up to the checkpoint are those that were written."""
        if not self.intact:
            self._kept = _up_to(lines, update)
        self.after = {row["update"]: row for row in map(_row, lines[len(self._kept) :]) if row is not None}
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
