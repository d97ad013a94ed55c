"""Rows of metrics.jsonl: read block by block, parsed, and their checksum without times.

A checkpoint records the number and the checksum of the rows written before it, their times left out, so that
equal runs have equal checkpoints. `store/earlier_rows.py` compares an earlier process's rows with them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from rlcli.errors import StorageError
from rlcli.loggers.jsonl import FILE_NAME
from rlcli.store.files import is_there, open_plain, settle, storage_error

RECORD = FILE_NAME
LONGEST_ROW = 2**20
"""Maximum bytes of one row; real ones have a few thousand."""
BLOCK = 2**20
"""Bytes read at once."""
TAIL = 2**20
"""Bytes at the end of the file that contain its last row."""
APART = ("time/", "actors/", "eval/")
"""Prefixes of figures that may differ between two computations of the same update."""
NUMBER = rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?"
TIMES, EVALUATIONS = (
    re.compile(rb', "%s[\w/]*": %s(?=[,}])' % (group, NUMBER)) for group in (b"(?:time|actors)/", b"eval/")
)
"""Patterns of these figures in a written row; a damaged one does not match, and changes the checksum."""
Row = dict[str, Any]


class Span(NamedTuple):
    """The first rows of metrics.jsonl: how many, and their checksum without their times."""

    rows: int
    sha256: str


NOTHING = Span(0, hashlib.sha256().hexdigest())


@dataclasses.dataclass(frozen=True)
class Position:
    """A position between two rows, with the number and the checksum of the rows before it."""

    offset: int = 0
    """Bytes before it."""
    rows: int = 0
    digest: hashlib._Hash = dataclasses.field(default_factory=hashlib.sha256)
    """The running checksum of the rows, their times left out."""


class Rows:
    """Checksum of a growing metrics.jsonl, of which only new rows are read."""

    def __init__(self, run_dir: Path, position: Position | None = None) -> None:
        """`position` is the end of the rows whose checksum is known."""
        known = position or Position()
        self._path = run_dir / RECORD
        self._read, self._count, self._hash = known.offset, known.rows, known.digest.copy()

    def settle(self) -> Span:
        """Syncs the rows written so far to the disk; returns their span.

        Raises:
            StorageError: the disk is full, or refuses.
        """
        settle(self._path)
        if is_there(self._path):
            try:
                with open_plain(self._path) as file:
                    file.seek(self._read)
                    for block in blocks(file, self._path):
                        self._read += len(block)
                        self._count += block.count(b"\n")
                        self._hash.update(TIMES.sub(b"", block))
            except OSError as error:
                raise storage_error(self._path, error) from error
        return Span(self._count, self._hash.hexdigest())


def blocks(file: BinaryIO, path: Path) -> Iterator[bytes]:
    """The rest of an open file in blocks of whole lines; the last line may be incomplete.

    Raises:
        StorageError: a line is longer than any row.
    """
    rest = b""
    while piece := file.read(BLOCK):
        whole = piece.rfind(b"\n") + 1
        if whole:
            yield rest + piece[:whole]
            rest = piece[whole:]
        else:
            rest += piece
        if len(rest) > LONGEST_ROW:
            raise StorageError(f"{path} is damaged: one of its lines is longer than any row.")
    if rest:
        yield rest


def differing(before: Row, again: Row) -> list[str]:
    """Names of figures in which two rows of the same update differ, except those that may."""
    names = [name for name in {**before, **again} if not name.startswith(APART)]
    return [name for name in names if before.get(name) != again.get(name)]


def parsed(line: bytes) -> Row | None:
    """Parses a row; None if the line is incomplete or damaged."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) and type(row.get("update")) is int else None


def lines(run_dir: Path) -> Iterator[Row | None]:
    """The rows of a run, in order; None for a line that is damaged, nothing for a torn last line.

    Raises:
        StorageError: the file exists, but cannot be read.
    """
    path = run_dir / RECORD
    if not os.path.lexists(path):
        return
    try:
        with open_plain(path) as file:
            for block in blocks(file, path):
                found = [parsed(line) for line in block.splitlines()]
                torn = bool(found) and found[-1] is None and not block.endswith(b"\n")
                yield from found[:-1] if torn else found
    except OSError as error:
        raise storage_error(path, error) from error


def read_rows(run_dir: Path) -> Iterator[Row]:
    """The rows of a run, in order; a line that is incomplete or damaged is left out.

    Raises:
        StorageError: the file exists, but cannot be read.
    """
    return (row for row in lines(run_dir) if row is not None)


def last_row(run_dir: Path) -> dict[str, float]:
    """The figures of the last whole row, without lists; empty if there is no row.

    Raises:
        StorageError: the file exists, but is not a plain file.
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
            return {name: value for name, value in row.items() if is_figure(value)}
    return {}


def is_figure(value: Any) -> bool:
    """Whether a value of a row is one finite number."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and abs(value) < 2.0**1023 and math.isfinite(value)
