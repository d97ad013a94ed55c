"""Rows of metrics.jsonl from an earlier process: those up to the checkpoint, and those after it.

The file is read once, block by block, whatever its size: up to the checkpoint only for its checksum, after it
for the update numbers. If the checksum does not match, it is read a second time for its update numbers.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from rlcli.errors import StorageError
from rlcli.store.checkpoint_file import About
from rlcli.store.files import cut, is_there, open_plain, storage_error
from rlcli.store.rows import (
    APART,
    EVALUATIONS,
    NOTHING,
    RECORD,
    TIMES,
    Position,
    Row,
    Span,
    blocks,
    parsed,
)

TRAINING = ("time/collect", "time/learn", "time/health")
"""Seconds of the parts of an update."""
LONGEST_UPDATE = 1e9
"""Seconds of an update that are believed."""
EVALUATED = "eval/return_mean"
FINAL = "eval/final"
COMPARED = 1000
"""Rows after the checkpoint that are kept for comparison: the first difference is found early."""
SPARE = 1000
"""Lines beyond one per update that a file may have: damaged ones."""
UPDATE = re.compile(rb'\{"update": ([0-9]{1,18})[,}]')
"""The beginning of a row."""


@dataclasses.dataclass(frozen=True)
class Earlier:
    """What a resumed run brings from the process before."""

    last_return: float | None
    """Mean return of the last evaluation."""
    pending_row: Row | None
    """The row of an update whose evaluation was interrupted: it is evaluated and recorded again."""
    rows: Mapping[int, Row]
    """Rows that will be computed again, by their update."""
    position: Position | None = None
    """The end of the rows that stay, with their checksum."""
    stop_values: Sequence[float] = ()
    """The last values of stop_at.metric in the rows that stay."""


NOTHING_EARLIER = Earlier(None, None, {})


@dataclasses.dataclass(frozen=True)
class Kept:
    """The rows up to a checkpoint."""

    end: int = 0
    """Their size in bytes."""
    start: int = 0
    """Offset of the last of them."""
    last: bytes = b""
    evaluated: float | None = None
    """Mean return of the last evaluation before the last row."""
    before: Position | None = None
    """The position before the last row; None if the rows are not those that were written."""
    behind: Position | None = None
    """The position behind the last row; None likewise."""


class EarlierRows:
    """Rows of an earlier process, split at a checkpoint.

    Raises:
        StorageError: the file is no plain file, has lines longer than rows, or far more lines than updates.
    """

    def __init__(self, run_dir: Path, about: About | None, updates: int) -> None:
        """`updates` are those of the whole run; rows of later updates are ignored."""
        self._path = run_dir / RECORD
        update, span, owed = (0, NOTHING, False) if about is None else (about.update, about.span, about.owed)
        self.intact = True
        """Whether the rows up to the checkpoint are those that were written."""
        self.rows_after: dict[int, Row] = {}
        """The first rows after the checkpoint, by their update; they are computed again."""
        self.count_after = 0
        """Number of updates with a row after the checkpoint."""
        self.last_update = update
        """The last update that has a row."""
        self._kept = Kept()
        try:
            if is_there(self._path):
                with open_plain(self._path) as file:
                    self._read(file, span, owed, update, updates)
            else:
                self.intact = span == NOTHING
        except OSError as error:
            raise storage_error(self._path, error) from error
        last = parsed(self._kept.last) if self._kept.last else None
        self.last = last if last is not None and last["update"] == update else None
        """The row of the checkpoint's own update; None where it is lost."""

    def _read(self, file: BinaryIO, span: Span, owed: bool, update: int, updates: int) -> None:
        kept = _of_span(blocks(file, self._path), span, owed)
        self.intact = kept is not None
        if kept is None:
            file.seek(0)
            kept = _up_to(blocks(file, self._path), update)
        self._kept = kept
        file.seek(kept.end)
        lines = 0
        for block in blocks(file, self._path):
            lines += block.count(b"\n")
            if lines > updates + SPARE:
                raise StorageError(
                    f"{self._path} is damaged: it has far more lines than its run has updates."
                )
            for line in block.splitlines():
                self._add(line, updates)

    def _add(self, line: bytes, updates: int) -> None:
        """Adds a row after the checkpoint; only as many are parsed as are compared."""
        if self.count_after < COMPARED:
            row = parsed(line)
            found = None if row is None else int(row["update"])
        else:
            row, found = None, _update(line)
        if found is None or found > updates:
            return
        self.count_after += found not in self.rows_after
        if row is not None:
            self.rows_after[found] = row
        self.last_update = max(self.last_update, found)

    @property
    def last_return(self) -> float | None:
        """Mean return of the last evaluation in the rows that are kept."""
        own = _evaluated(self._kept.last)
        return self._kept.evaluated if own is None else own

    @property
    def final_return(self) -> float | None:
        """Mean return of the evaluation at the checkpoint, if it was made only because the run ended."""
        found = self.last.get(EVALUATED) if self.last is not None and FINAL in self.last else None
        return found if isinstance(found, float) else None

    def last_values(self, name: str, count: int) -> list[float]:
        """The last `count` values of a metric in the rows that are kept.

        Evaluations made only because the run ended are left out: a longer run has none there.

        Raises:
            StorageError: the file cannot be read.
        """
        if not is_there(self._path):
            return []
        mark, left = json.dumps(name).encode(), self._kept.end
        lines: deque[bytes] = deque(maxlen=count)
        try:
            with open_plain(self._path) as file:
                for block in blocks(file, self._path):
                    whole = block[: max(left, 0)].splitlines()
                    lines += [line for line in whole if mark in line and not _only_final(name, line)]
                    left -= len(block)
        except OSError as error:
            raise storage_error(self._path, error) from error
        rows = [row for row in map(parsed, lines) if row is not None]
        return [float(row[name]) for row in rows if type(row.get(name)) in (int, float)]

    def kept(self) -> Iterator[Row]:
        """The rows that are kept, in order; damaged ones are left out.

        Raises:
            StorageError: the file cannot be read.
        """
        if not is_there(self._path):
            return
        left = self._kept.end
        try:
            with open_plain(self._path) as file:
                for block in blocks(file, self._path):
                    yield from (row for line in block[: max(left, 0)].splitlines() if (row := parsed(line)))
                    left -= len(block)
        except OSError as error:
            raise storage_error(self._path, error) from error

    def drop_last(self) -> Row:
        """Removes and returns the row of the checkpoint's update, which is written again.

        Of its times those stay that training took; anything may stand there, so only sensible numbers do.
        """
        assert self.last is not None
        kept = self._kept
        self._kept = dataclasses.replace(kept, end=kept.start, last=b"", behind=kept.before)
        return {
            name: value
            for name, value in self.last.items()
            if not name.startswith(APART)
            or (name in TRAINING and type(value) in (int, float) and 0 <= value < LONGEST_UPDATE)
        }

    def truncate(self) -> None:
        """Truncates the file behind the rows that are kept.

        Raises:
            StorageError: it cannot be written.
        """
        if is_there(self._path):
            cut(self._path, self._kept.end)

    @property
    def position(self) -> Position | None:
        """The end of the rows that are kept; None if their checksum is not known."""
        return self._kept.behind

    @property
    def recomputes_all(self) -> bool:
        """Whether there are rows, all of which are computed again."""
        return self._kept.end == 0 and self.count_after > 0


def _of_span(pieces: Iterator[bytes], span: Span, owed: bool) -> Kept | None:
    """The rows of a span; None if they are not as they were written.

    With `owed` the evaluation in the last row is not compared: it may have been made since.
    """
    if span.rows == 0:
        return Kept(behind=Position()) if span == NOTHING else None
    digest, offset, left, evaluated = hashlib.sha256(), 0, span.rows, None
    for block in pieces:
        count = block.count(b"\n")
        if count < left:
            digest.update(TIMES.sub(b"", block))
            evaluated = _last_evaluated(block, evaluated)
            offset, left = offset + len(block), left - count
            continue
        *before, rest = block.split(b"\n", left)
        last = before[-1] + b"\n"
        end = len(block) - len(rest)
        start = end - len(last)
        digest.update(TIMES.sub(b"", block[:start]))
        before_last = Position(offset + start, span.rows - 1, digest.copy())
        digest.update(TIMES.sub(b"", EVALUATIONS.sub(b"", last) if owed else last))
        if digest.hexdigest() != span.sha256:
            return None
        behind = None if owed else Position(offset + end, span.rows, digest)
        evaluated = _last_evaluated(block[:start], evaluated)
        return Kept(offset + end, offset + start, last, evaluated, before_last, behind)
    return None


def _up_to(pieces: Iterator[bytes], update: int) -> Kept:
    """The lines before the first row of a later update."""
    kept, offset = Kept(), 0
    for block in pieces:
        for line in block.splitlines(keepends=True):
            found = _update(line)
            if found is not None and found > update:
                return kept
            own = _evaluated(kept.last)
            evaluated = kept.evaluated if own is None else own
            kept = Kept(offset + len(line), offset, line, evaluated)
            offset += len(line)
    return kept


def _update(line: bytes) -> int | None:
    """The update of a row; None if the line is not a row."""
    begun = UPDATE.match(line)
    if begun is not None and line.rstrip().endswith(b"}"):
        return int(begun[1])
    row = parsed(line)
    return None if row is None else int(row["update"])


def _only_final(name: str, line: bytes) -> bool:
    """Whether a metric is of an evaluation that was made only because the run ended."""
    return name.startswith("eval/") and json.dumps(FINAL).encode() in line


def _evaluated(line: bytes) -> float | None:
    """Mean return of the evaluation in a row; None if there is none."""
    row = parsed(line) if EVALUATED.encode() in line else None
    found = None if row is None else row.get(EVALUATED)
    return found if isinstance(found, float) else None


def _last_evaluated(block: bytes, before: float | None) -> float | None:
    """Mean return of the last evaluation in a block of rows; `before` if there is none."""
    place = block.rfind(EVALUATED.encode())
    while place >= 0:
        start = block.rfind(b"\n", 0, place) + 1
        found = _evaluated(block[start : block.find(b"\n", place) + 1 or len(block)])
        if found is not None:
            return found
        place = block.rfind(EVALUATED.encode(), 0, start)
    return before
