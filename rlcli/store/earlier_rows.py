"""The rows of metrics.jsonl that an earlier process left: those up to a checkpoint, and those after it.

The file is read once, block by block, whatever its size: up to the checkpoint only for its checksum, after it
for the updates it names. Where the checksum is another, it is read a second time for its updates alone.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from rlcli.errors import StorageError
from rlcli.store.checkpoint_file import NOTHING, About, Span
from rlcli.store.files import cut, is_there, open_plain, storage_error
from rlcli.store.rows import APART, EVALUATIONS, RECORD, TIMES, Position, Row, blocks, parsed

EVALUATED = "eval/return_mean"
FINAL = "eval/final"
COMPARED = 1000
"""Rows after the checkpoint that are kept to be compared with: the first difference is found early."""
SPARE = 1000
"""Lines beyond one per update that a file may have: damaged ones."""
UPDATE = re.compile(rb'\{"update": ([0-9]{1,18})[,}]')
"""How a row begins."""


@dataclasses.dataclass
class Kept:
    """The rows up to a checkpoint."""

    end: int = 0
    """Bytes of the file that they are."""
    start: int = 0
    """Where the last of them begins."""
    last: bytes = b""
    evaluated: float | None = None
    """Mean return of the last evaluation before the last row."""
    before: Position | None = None
    """Up to the last row, and past it; None where the rows are not those that were written."""
    past: Position | None = None


class Past:
    """The rows an earlier process left, those up to a checkpoint apart from those after it.

    Raises:
        StorageError: the file is no plain file, has lines longer than rows, or far more lines than updates.
    """

    def __init__(self, run_dir: Path, about: About | None, updates: int) -> None:
        """`updates` are those of the whole run: a row of a later one is none that it wrote."""
        self._path = run_dir / RECORD
        update, span, owed = (0, NOTHING, False) if about is None else (about.update, about.span, about.owed)
        self.intact = True
        """Whether the rows up to the checkpoint are those that were written."""
        self.after: dict[int, Row] = {}
        """The first rows after the checkpoint, by their update; they are computed again."""
        self.later = 0
        """How many updates' rows there are after the checkpoint."""
        self.reached = update
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
        """Takes in a row after the checkpoint; parsed is as much as is compared."""
        if self.later < COMPARED:
            row = parsed(line)
            found = None if row is None else int(row["update"])
        else:
            row, found = None, _update(line)
        if found is None or found > updates:
            return
        self.later += found not in self.after
        if row is not None:
            self.after[found] = row
        self.reached = max(self.reached, found)

    @property
    def last_return(self) -> float | None:
        """The mean return of the last evaluation among the rows that are kept."""
        own = _evaluated(self._kept.last)
        return self._kept.evaluated if own is None else own

    @property
    def final_return(self) -> float | None:
        """The mean return of the update's own evaluation, if it was made only because the run ended."""
        found = self.last.get(EVALUATED) if self.last is not None and FINAL in self.last else None
        return found if isinstance(found, float) else None

    def drop_last(self) -> Row:
        """Takes out the row of the update itself, which is written again."""
        assert self.last is not None
        kept = self._kept
        self._kept = dataclasses.replace(kept, end=kept.start, last=b"", past=kept.before)
        return {name: value for name, value in self.last.items() if not name.startswith(APART)}

    def cut(self) -> None:
        """Cuts the file after the rows that are kept.

        Raises:
            StorageError: it cannot be written.
        """
        if is_there(self._path):
            cut(self._path, self._kept.end)

    @property
    def position(self) -> Position | None:
        """The end of the rows that are kept; None where their checksum is not known."""
        return self._kept.past

    @property
    def all_again(self) -> bool:
        """Whether there are rows and all of them are computed again."""
        return self._kept.end == 0 and self.later > 0


def _of_span(pieces: Iterator[bytes], span: Span, owed: bool) -> Kept | None:
    """The rows of a span, None when they are not there as they were written.

    Of the last its evaluation does not count where that is owed, for it may have been made since.
    """
    if span.rows == 0:
        return Kept(past=Position()) if span == NOTHING else None
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
        past = None if owed else Position(offset + end, span.rows, digest)
        evaluated = _last_evaluated(block[:start], evaluated)
        return Kept(offset + end, offset + start, last, evaluated, before_last, past)
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
    """The update of a row, None when the line is none."""
    begun = UPDATE.match(line)
    if begun is not None and line.rstrip().endswith(b"}"):
        return int(begun[1])
    row = parsed(line)
    return None if row is None else int(row["update"])


def _evaluated(line: bytes) -> float | None:
    """The mean return of the evaluation in a row, None when there is none."""
    row = parsed(line) if EVALUATED.encode() in line else None
    found = None if row is None else row.get(EVALUATED)
    return found if isinstance(found, float) else None


def _last_evaluated(block: bytes, before: float | None) -> float | None:
    """The mean return of the last evaluation in a block of rows; `before` when there is none."""
    place = block.rfind(EVALUATED.encode())
    while place >= 0:
        start = block.rfind(b"\n", 0, place) + 1
        found = _evaluated(block[start : block.find(b"\n", place) + 1 or len(block)])
        if found is not None:
            return found
        place = block.rfind(EVALUATED.encode(), 0, start)
    return before
