"""The record of a run, metrics.jsonl, as loggers and uploads read it: its figures in order, each with a time.

What W&B, TensorBoard and MLflow hold of a run is a function of these rows. A row has no time of its own, only
`time/elapsed`, the seconds since its process began; manifest.json has when the processes of a run began.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlcli.loggers.interface import TimedRow
from rlcli.store.files import is_there, open_plain, storage_error
from rlcli.store.rows import RECORD, Row, blocks, parsed

ELAPSED = "time/elapsed"
LONGEST_TIME = 1e9
"""Seconds of a process that are believed."""
NAMED = 5
"""Maximum number of faults that are named one by one."""
LARGEST = 2.0**1023
LARGEST_UPDATE = 2**53


@dataclass(frozen=True)
class Record:
    """Overview of a record."""

    rows: int
    """Rows that can be used."""
    last: int
    """The update of the last one; 0 if there is none."""
    faults: tuple[str, ...]
    """Lines left out and updates without a row, in words."""


def overview(run_dir: Path) -> Record:
    """Counts the rows of a record and names what is wrong with it.

    Raises:
        StorageError: the file cannot be read, or is no plain file.
    """
    rows, last, damaged, missing = 0, 0, 0, 0
    named: list[int] = []
    for number, row, update in _lines(run_dir):
        if row is None:
            damaged += 1
            named += [number] * (len(named) < NAMED)
        else:
            missing += update - last - 1
            last, rows = update, rows + 1
    faults = []
    if damaged:
        what = "line" if damaged == 1 else "lines"
        shown = ", ".join(map(str, named)) + (" ..." if damaged > NAMED else "")
        faults.append(f"{damaged:,} {what} left out, damaged or out of order: {what} {shown}")
    if missing:
        faults.append(f"{missing:,} {'updates have' if missing > 1 else 'update has'} no row")
    return Record(rows, last, tuple(faults))


def timed_rows(run_dir: Path, manifest: Mapping[str, Any], until: int | None = None) -> Iterator[TimedRow]:
    """The figures of a run's rows in the order of their updates, up to update `until`, each with its time.

    `manifest` is the content of manifest.json. Lines that are no rows are left out, and rows that do not
    follow the one before.

    Raises:
        StorageError: the file cannot be read, or is no plain file.
    """
    processes = [(0, started(manifest))]
    """The updates after which the processes of the run began, and when."""
    processes += [(int(entry["update"]), _seconds(entry["time"])) for entry in manifest["resumes"]]
    at = processes[0][1]
    for _, row, update in _lines(run_dir):
        if row is None:
            continue
        if until is not None and update > until:
            return
        while len(processes) > 1 and processes[1][0] < update:
            del processes[0]
        elapsed = row.get(ELAPSED)
        if isinstance(elapsed, (int, float)) and 0 <= elapsed < LONGEST_TIME:
            at = max(at, processes[0][1] + elapsed)
        yield row, at


def started(manifest: Mapping[str, Any]) -> float:
    """When a run was started, in seconds since 1970; 0 if its manifest has no time there."""
    return _seconds(manifest["started"])


def _lines(run_dir: Path) -> Iterator[tuple[int, Row | None, int]]:
    """Number, figures and update of each line; None in place of figures that cannot be used.

    A last line that is still being written is not among them.
    """
    path = run_dir / RECORD
    if not is_there(path):
        return
    number, last = 0, 0
    try:
        with open_plain(path) as file:
            for block in blocks(file, path):
                for line in block.split(b"\n")[:-1]:
                    number += 1
                    row = parsed(line)
                    if row is None or not last < row["update"] < LARGEST_UPDATE or "env_steps" not in row:
                        yield number, None, last
                    else:
                        last = row["update"]
                        yield number, _figures(row), last
    except OSError as error:
        raise storage_error(path, error) from error


def _figures(row: Row) -> Row:
    """A row without what is neither a finite number nor a list of such."""
    return {
        name: value
        for name, value in row.items()
        if _is_figure(value) or (isinstance(value, list) and all(map(_is_figure, value)))
    }


def _is_figure(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < LARGEST and math.isfinite(value)


def _seconds(text: str) -> float:
    """Seconds since 1970 of a time in manifest.json; 0 if it is none."""
    try:
        return max(0.0, datetime.datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError):
        return 0.0
