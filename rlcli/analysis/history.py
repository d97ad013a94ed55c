"""The rows of a run as columns: one array of each metric, NaN where a row lacks it."""

from __future__ import annotations

import math
from array import array
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rlcli.store.rows import is_figure, lines

Array = npt.NDArray[np.float64]
Axis = Literal["steps", "seconds", "updates"]

UPDATE, STEPS, ELAPSED = "update", "env_steps", "time/elapsed"
POSITION = (UPDATE, STEPS, ELAPSED)
"""Columns that every history has."""
LARGEST = 1e150
"""Size below which values are used: squares and sums of larger ones are infinite."""
MISSING = array("d", [math.nan])


@dataclass(frozen=True)
class History:
    """The rows of one run, in order of their updates."""

    columns: Mapping[str, Array]
    """By metric: one float64 per row; NaN where a row lacks it. Lists, such as epochs/, are left out."""
    damaged: int
    """Lines of metrics.jsonl that could not be read; a torn last line is none."""

    def __len__(self) -> int:
        return len(self.columns[UPDATE])

    def axis(self, name: Axis) -> Array:
        """Positions of the rows: env steps, seconds of training over all processes, or updates."""
        if name == "updates":
            return self.columns[UPDATE]
        if name == "steps":
            return self.columns[STEPS]
        return _total_seconds(self.columns[ELAPSED])

    def points(self, metric: str, axis: Axis = "steps") -> tuple[Array, Array]:
        """Positions and values of the rows that have a metric; both empty where none has."""
        values = self.columns.get(metric)
        if values is None:
            return np.empty(0), np.empty(0)
        there = (np.abs(values) < LARGEST) & np.isfinite(self.axis(axis))
        return self.axis(axis)[there], values[there]

    def last(self, metric: str) -> float | None:
        """The last value of a metric; None where no row has it."""
        _, values = self.points(metric, "updates")
        return float(values[-1]) if len(values) else None


def read_history(run_dir: Path, metrics: Collection[str] | None = None) -> History:
    """Reads the columns of a run's metrics.jsonl: those named and the position, or all.

    An update that is there twice counts once, as it was written last. Values that are no finite number are
    left out.

    Raises:
        StorageError: the file exists, but cannot be read.
    """
    wanted = None if metrics is None else sorted({*metrics, *POSITION})
    columns = {name: array("d") for name in POSITION}
    place: dict[int, int] = {}
    damaged = count = 0
    for row in lines(run_dir):
        if row is None:
            damaged += 1
            continue
        place[row[UPDATE]] = count
        for name in row if wanted is None else wanted:
            value: Any = row.get(name)
            if is_figure(value):
                column = columns.setdefault(name, array("d"))
                column.extend(MISSING * (count - len(column)))
                column.append(value)
        count += 1
    chosen = np.array([place[update] for update in sorted(place)], np.intp)
    for column in columns.values():
        column.extend(MISSING * (count - len(column)))
    return History({name: np.array(column)[chosen] for name, column in columns.items()}, damaged)


def _total_seconds(elapsed: Array) -> Array:
    """Seconds since the first start, where `elapsed` begins again at 0 whenever a run is resumed."""
    if not len(elapsed):
        return elapsed
    began_again = np.flatnonzero(np.diff(elapsed) < 0) + 1
    total = elapsed.copy()
    for place in began_again:
        total[place:] += elapsed[place - 1]
    return total


def names_of(histories: Collection[History]) -> Iterator[str]:
    """Metrics that at least one of the histories has, in the order in which they were first read."""
    return iter(dict.fromkeys(name for history in histories for name in history.columns))


def why_no_return(histories: Collection[History], by_then: str = "") -> str:
    """Why none of the runs has a return, as a sentence; `by_then` limits it: ` by 1,000 env steps`."""
    if any(len(history) for history in histories):
        return f"No row of these runs has a return{by_then}, as where no episode ended: name a --metric."
    damaged = sum(history.damaged for history in histories)
    if damaged:
        lines = "1 line of metrics.jsonl is" if damaged == 1 else f"{damaged:,} lines of metrics.jsonl are"
        return f"No row of these runs can be read: {lines} damaged."
    return f"These runs have no rows{by_then or ' yet'}: their first update is not done."
