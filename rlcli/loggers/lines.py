"""Progress lines for pipes, files and logs: one every few seconds, tenth of the run, and evaluation."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TextIO

from rlcli.loggers.interface import Row, RunInfo
from rlcli.loggers.progress import Clock, Progress, duration, figure, share
from rlcli.streams import Writer

EVERY = 5.0
"""Seconds after which a line is due, whatever the progress."""
HEADER_EVERY = 20
"""Lines after which the header is repeated."""
GAP = "  "


@dataclass(frozen=True)
class Column:
    """Column of a progress line; those of higher `rank` are left out first on a narrow terminal."""

    title: str
    width: int
    rank: int
    text: Callable[[Progress, Mapping[str, Any]], str]


COLUMNS = (
    Column("steps", 10, 0, lambda progress, _: f"{progress.steps:,}"),
    Column("done", 4, 2, lambda progress, _: f"{progress.fraction:.0%}"),
    Column("steps/s", 8, 7, lambda progress, _: "-" if progress.speed is None else f"{progress.speed:,.0f}"),
    Column("left", 7, 8, lambda progress, _: duration(progress.left)),
    Column("return", 8, 1, lambda _, row: figure(row.get("train/return_100"))),
    Column("eval", 8, 6, lambda _, row: figure(row.get("eval/return_mean"))),
    Column("KL", 7, 3, lambda _, row: figure(row.get("behaviour/kl_mu_pi"))),
    Column("ESS", 5, 4, lambda _, row: share(row.get("behaviour/ess"))),
    Column("clip", 5, 5, lambda _, row: share(row.get("behaviour/clip_fraction"))),
)
LAG = (
    Column("lag", 7, 9, lambda _, row: _lag(row)),
    Column("queue", 5, 10, lambda _, row: figure(row.get("actors/queue"))),
    Column("actor", 5, 11, lambda _, row: share(row.get("actors/busy"))),
    Column("learner", 7, 12, lambda _, row: share(row.get("actors/learner_busy"))),
)
"""Where actors are free: lag in updates, rollouts waiting, share of time that both are busy."""
"""return is train/return_100, KL is KL(mu||pi) in nats, ESS and clip are shares of the batch."""


def _lag(row: Mapping[str, Any]) -> str:
    """Mean lag of an update's rollouts, or their range where they differ."""
    low, high = row.get("actors/lag_min"), row.get("actors/lag_max")
    return figure(row.get("actors/lag")) if low == high else f"{figure(low)}-{figure(high)}"


class LineLogger:
    """Logger that prints rows as aligned columns, in ASCII, without control codes.

    Raises once it cannot print: the composite then switches it off.
    """

    def __init__(self, info: RunInfo, stream: TextIO | Writer, clock: Clock = time.monotonic) -> None:
        self._stream = Writer.of(stream)
        self._clock = clock
        self._progress = Progress(info.start_steps, info.total_steps, clock)
        terminal = self._stream.isatty()
        known = (*COLUMNS, *LAG) if info.config.collect.is_free else COLUMNS
        self._columns = fitting(shutil.get_terminal_size().columns, known) if terminal else known
        self._lines = 0
        self._tenth = -1
        self._due = clock()

    def log(self, row: Row, /) -> None:
        """Prints the row if a line is due."""
        tenth = 10 * row["env_steps"] // self._progress.total
        if self._clock() < self._due and tenth == self._tenth and "eval/return_mean" not in row:
            return
        self._progress.reach(row["env_steps"])
        self._due = self._clock() + EVERY
        self._tenth = tenth
        if self._lines % HEADER_EVERY == 0:
            self._print(GAP.join(column.title.rjust(column.width) for column in self._columns))
        self._lines += 1
        texts = (column.text(self._progress, row).rjust(column.width) for column in self._columns)
        self._print(GAP.join(texts))

    def message(self, text: str, /) -> None:
        """Prints a line of text."""
        self._print(text)

    def close(self, _status: str, /) -> None:
        """Does nothing: the last row, evaluated or a whole tenth, has its line."""

    def _print(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()
        self._stream.check()


def fitting(width: int, known: tuple[Column, ...] = COLUMNS) -> tuple[Column, ...]:
    """Columns that fit in a line of `width` characters, chosen by rank, in their order."""
    kept: list[Column] = []
    for column in sorted(known, key=lambda column: column.rank):
        width -= column.width
        if width < 0:
            break
        kept.append(column)
        width -= len(GAP)
    return tuple(column for column in known if column in kept)
