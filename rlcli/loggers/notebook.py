"""Progress in a notebook: one line that is written anew, where stderr is no terminal but has a display."""

from __future__ import annotations

import html
import importlib
import sys
import time
from collections.abc import Mapping
from typing import Any

from rlcli.loggers.interface import Row, RunInfo
from rlcli.loggers.progress import Clock, Progress, duration, figure, share
from rlcli.streams import err
from rlcli.text import visible

REFRESH = 0.5
"""Minimum seconds between two lines: each is a message to the browser."""
BAR = 20
"""Characters of the bar."""


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook; nothing is imported to find out."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


class Shown:
    """A line of text as a notebook shows it."""

    def __init__(self, text: str) -> None:
        self._text = visible(text)

    def __repr__(self) -> str:
        return self._text

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self._text)}</pre>"


class NotebookLine:
    """One line of a notebook's output, which is written anew at most twice a second."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._due = clock()
        self._handle: Any = None

    @property
    def due(self) -> bool:
        """Whether the last line is old enough for another."""
        return self._clock() >= self._due

    def show(self, text: str) -> None:
        """Writes the line."""
        if self._handle is None:
            display = importlib.import_module("IPython.display").display
            self._handle = display(Shown(text), display_id=True)
        else:
            self._handle.update(Shown(text))
        self._due = self._clock() + REFRESH


class NotebookLogger:
    """Logger of one run's progress: steps, speed, return and health in a line."""

    def __init__(self, info: RunInfo, clock: Clock = time.monotonic) -> None:
        self._title = f"{info.algo} on {info.env}, seed {info.seed}"
        self._progress = Progress(info.start_steps, info.total_steps, clock)
        self._latest: dict[str, Any] = {"env_steps": info.start_steps}
        self._line = NotebookLine(clock)
        self._show()

    def log(self, row: Row, /) -> None:
        """Stores a row, and writes the line if it is due."""
        self._latest.update(row)
        self._progress.reach(self._latest["env_steps"])
        if self._line.due:
            self._show()

    def message(self, text: str, /) -> None:
        """Prints a line of text below."""
        err().line(text)

    def close(self, status: str, /) -> None:
        """Writes the line of the last row."""
        self._show(status)

    def _show(self, status: str = "") -> None:
        progress = self._progress
        ending = (
            f"{status} after {duration(progress.elapsed)}" if status else f"{duration(progress.left)} left"
        )
        speed = "-" if progress.speed is None else f"{progress.speed:,.0f}"
        parts = [
            self._title, f"{bar(progress.fraction)}  {progress.steps:,} / {progress.total:,} steps",
            f"{speed} steps/s", ending, *_figures(self._latest),
        ]  # fmt: skip
        self._line.show("  ".join(parts))


def bar(fraction: float) -> str:
    """`█████░░░░░  50%`."""
    full = int(fraction * BAR)
    return f"{'█' * full}{'░' * (BAR - full)} {fraction:4.0%}"


def _figures(row: Mapping[str, Any]) -> list[str]:
    shown = (
        ("return", "train/return_100", figure), ("eval", "eval/return_mean", figure),
        ("KL", "behaviour/kl_mu_pi", figure), ("ESS", "behaviour/ess", share),
        ("clip", "behaviour/clip_fraction", share),
    )  # fmt: skip
    return [f"{title} {text(row[name])}" for title, name, text in shown if name in row]
