"""History of a W&B run as a function of the run's record, metrics.jsonl.

Offline a resumed run writes one complete file: all rows so far, then its own; the earlier files of that W&B
run are superseded, and are removed once it is whole. Online the server already holds rows. The SDK asks it
for the next step when it continues a W&B run, and the public API has the number of rows; from both follows
the first row that the server lacks. Both may lag behind for some seconds after an upload: the larger counts,
and what looks like another history is asked for again.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from rlcli.loggers.interface import TimedRow

SEGMENT = re.compile(r"(?:offline-)?run-\d{8}_\d{6}-(.+)")
"""Name of the folder in which W&B's process stores what one process logged: a segment of the W&B run."""
BATCH = 500
"""Rows handed over at once."""
ATTEMPTS, LAG = 3, 3.0
"""How often the server is asked before its rows are taken for others, and the seconds between."""
TIMEOUT = 10
"""Seconds to wait for the number of rows that the server holds."""


class OtherHistory(Exception):
    """The server holds rows that are not the first ones of the record."""


@dataclass(frozen=True)
class Held:
    """What the server holds of a W&B run."""

    rows: int | None
    """Number of rows; None if it does not say how many."""
    next_step: int
    """The step after its last row; 0 if there is none."""


def run_id(directory: Path, own: str) -> str:
    """The id of a run's W&B run: that of the first segment in the run directory, else the run's `own`."""
    found = segments(directory)
    return _id(found[0]) if found else own


def segments(directory: Path) -> list[Path]:
    """The segments in a run directory, oldest first."""
    known = [path for path in (directory / "wandb").glob("*run-*") if SEGMENT.fullmatch(path.name)]
    return sorted(known, key=lambda path: path.name.rpartition("run-")[2])


def remove_superseded(directory: Path, complete: Path) -> None:
    """Removes the segments of a W&B run but for the complete one.

    Raises:
        OSError: one cannot be removed.
    """
    for path in segments(directory):
        if path.name != complete.name and _id(path) == _id(complete) and not path.is_symlink():
            shutil.rmtree(path)


def held(run: Any) -> Held:
    """What the server holds of an online W&B run that was just begun or continued."""
    import wandb

    if not run.resumed:
        return Held(0, 0)
    try:
        lines = wandb.Api(timeout=TIMEOUT).run(f"{run.entity}/{run.project}/{run.id}").historyLineCount
    except (wandb.errors.Error, ValueError, AttributeError, TypeError):
        lines = None
    return Held(lines if type(lines) is int else None, int(run.starting_step))


def known_rows(holds: Held, updates: Iterable[int]) -> int:
    """How many of the rows of these updates the server has: the first ones of the record.

    It may be ahead of the record, by rows that a killed process uploaded and that are computed again.

    Raises:
        OtherHistory: its rows are others.
    """
    total = below = last = 0
    for update in updates:
        total, last = total + 1, update
        below += update < holds.next_step
    expected = below + max(0, holds.next_step - 1 - last)
    if holds.rows in (None, expected):
        return below
    if expected < holds.rows <= total and holds.next_step <= holds.rows:
        return holds.rows  # the step lags behind
    raise OtherHistory(f"{holds.rows:,} rows, and the record has {total:,}")


def known(run: Any, updates: Sequence[int]) -> int:
    """How many of the rows of these updates the server has of a W&B run that was just begun or continued.

    Raises:
        OtherHistory: its rows are others, also some seconds later.
    """
    for _ in range(ATTEMPTS - 1):
        with contextlib.suppress(OtherHistory):
            return known_rows(held(run), updates)
        time.sleep(LAG)
    return known_rows(held(run), updates)


def batches(rows: Iterable[TimedRow], skipped: int = 0) -> Iterator[Sequence[TimedRow]]:
    """The rows from number `skipped` on, some at a time."""
    rest = islice(rows, skipped, None)
    while batch := list(islice(rest, BATCH)):
        yield batch


def _id(segment: Path) -> str:
    """The id of a segment's W&B run: in the name of its file, as the folder's may have a number behind it."""
    files = [path.name for path in segment.glob("run-*.wandb")]
    found = SEGMENT.fullmatch(segment.name)
    assert found is not None
    return files[0].removeprefix("run-").removesuffix(".wandb") if files else found[1]
