"""Live terminal panel of a run: progress, returns, and health of the latest update."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rich.box import ROUNDED
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from rlcli.loggers.interface import Row, RunInfo
from rlcli.loggers.progress import Clock, Progress, duration, figure, share
from rlcli.loggers.sparkline import Series
from rlcli.streams import Writer

REFRESH = 0.25
"""Minimum seconds between two drawings."""
COST = 0.01
"""Maximum share of the time that drawing may take; a slow terminal is drawn less often."""
BEFORE, NOTE = 26, 32
"""Characters a line needs before its sparkline, and after it where there is a note."""
SLOW = 1.0
"""Seconds since the last row from which on the panel has the phase of the update."""
SPARKLINE = range(10, 25)
"""Width of a sparkline beside a note; where even the minimum does not fit, the note is left out."""

GOOD, FAIR, POOR, PLAIN = "green", "yellow", "bold red", "bold"
BORDERS = {"finished": "green", "failed": "red", "interrupted": "yellow", "pruned": "yellow"}

Figures = Mapping[str, Any]


@dataclass(frozen=True)
class Gauge:
    """Line of the panel: a metric with its value, sparkline and note."""

    label: str
    metric: str
    text: Callable[[float], str] = figure
    style: Callable[[Figures], str] = lambda _: PLAIN
    note: Callable[[Figures], str] = lambda _: ""
    minimum: float | None = None
    maximum: float | None = None
    """The range its sparkline shows in any case."""


def _spent(row: Figures) -> str:
    """Colour by the share of the KL budget spent; 1.5 is the usual threshold of early stopping."""
    used = row.get("update/budget_used", 0.0)
    return GOOD if used <= 1.0 else FAIR if used <= 1.5 else POOR


def _budget(row: Figures) -> str:
    used = row.get("update/budget_used")
    return "" if used is None else f"{used:.0%} of the budget" if used < 10 else f"{used:.0f} x the budget"


def _sampled(row: Figures) -> str:
    """Colour by effective sample size; half the batch is where particle filters resample."""
    ess = row["behaviour/ess"]
    return GOOD if ess >= 0.8 else FAIR if ess >= 0.5 else POOR


def _clipped(row: Figures) -> str:
    clipped = row["behaviour/clip_fraction"]
    return GOOD if clipped <= 0.3 else FAIR if clipped <= 0.5 else POOR


def _spread(row: Figures) -> str:
    return f"± {figure(row['eval/return_std'])} over {row['eval/episodes']:.0f} episodes"


def _actors(row: Figures) -> str:
    busy = f"actors {row['actors/busy']:.0%}, learner {row['actors/learner_busy']:.0%} busy"
    return f"updates; {row['actors/queue']:.0f} waiting; {busy}"


def gauges(batch: int) -> tuple[tuple[Gauge, ...], ...]:
    """Lines of the panel in three blocks; `batch` is the number of samples of one update."""
    return (
        (
            Gauge("Return", "train/return_100", note=lambda _: "mean of the last 100 episodes"),
            Gauge("Evaluation", "eval/return_mean", note=_spread),
        ),
        (
            Gauge("KL(μ‖π)", "behaviour/kl_mu_pi", style=_spent, note=_budget, minimum=0.0),
            Gauge(
                "ESS", "behaviour/ess", share, _sampled,
                lambda row: f"worth {row['behaviour/ess'] * batch:,.0f} of {batch:,} samples", maximum=1.0,
            ),
            Gauge(
                "Clip fraction", "behaviour/clip_fraction", share, _clipped,
                lambda _: "of ratios outside 1 ± 0.2", minimum=0.0,
            ),
        ),
        (
            Gauge("Entropy", "update/entropy", note=lambda _: "nats"),
            Gauge(
                "Critic", "update/explained_variance", share,
                note=lambda _: "of target variance explained", maximum=1.0,
            ),
            Gauge("Lag", "actors/lag", note=_actors, minimum=0.0),
        ),
    )  # fmt: skip


class PanelLogger:
    """Logger that redraws the panel in place, at most four times a second and without a thread.

    Raises once it cannot draw: the composite then switches it off.
    """

    def __init__(self, info: RunInfo, console: Console, clock: Clock = time.monotonic) -> None:
        self._title = Text.assemble((info.algo, "bold"), " on ", (info.env, "bold"), f", seed {info.seed}")
        self._name = Text(info.name, style="dim")
        self._console = console
        self._clock = clock
        self._progress = Progress(info.start_steps, info.total_steps, clock)
        self._batch = info.config.batch_size
        self._blocks = gauges(self._batch)
        self._series = {gauge.metric: Series() for block in self._blocks for gauge in block}
        self._latest: dict[str, Any] = {"env_steps": info.start_steps}
        self._collected, self._phase = 0, ""
        """Env steps since the last row, and what is being done."""
        self._row_at = self._due = clock()
        # stdout stays untouched: it is for results alone.
        self._live = Live(
            self.render(),
            console=console,
            auto_refresh=False,
            redirect_stdout=False,
            vertical_overflow="crop",
        )
        self._live.start(refresh=True)

    def log(self, row: Row, /) -> None:
        """Stores a row, and redraws if a drawing is due."""
        self._latest.update(row)
        self._collected, self._phase, self._row_at = 0, "", self._clock()
        for metric, series in self._series.items():
            if metric in row:
                series.add(row[metric])
        if self._clock() >= self._due:
            self._draw()

    def tick(self, steps: int, phase: str, /) -> None:
        """Redraws if a drawing is due, with the steps collected since the last row."""
        self._collected, self._phase = steps, phase
        if self._clock() >= self._due:
            self._draw()

    def message(self, text: str, /) -> None:
        """Prints a line above the panel."""
        self._console.print(text, markup=False, highlight=False)
        self._check()

    def close(self, status: str, /) -> None:
        """Draws the last figures, and leaves the cursor below the panel."""
        try:
            self._draw(status)
        finally:
            self._live.stop()

    def _draw(self, status: str = "") -> None:
        started = self._clock()
        # A run that has ended has learnt from whole updates alone.
        self._progress.reach(self._latest["env_steps"] + (0 if status else self._collected))
        self._live.update(self.render(status), refresh=True)
        self._check()
        drawn = self._clock()
        self._due = drawn + max(REFRESH, (drawn - started) / COST)

    def _check(self) -> None:
        if isinstance(self._console.file, Writer):
            self._console.file.check()

    def render(self, status: str = "") -> Panel:
        """The panel for the console's present width."""
        inside = self._console.width - 4
        lines = [self._bar(inside), self._pace(inside, status)]
        for block in self._blocks:
            shown = [self._gauge(gauge, inside) for gauge in block if gauge.metric in self._latest]
            lines += [Text(), *shown] if shown else []
        return Panel(
            Group(*lines), box=ROUNDED, title=self._title, title_align="left",
            subtitle=self._name, subtitle_align="right", border_style=BORDERS.get(status, "blue"),
        )  # fmt: skip

    def _bar(self, inside: int) -> Text:
        done = self._progress.fraction
        counts = f"{done:4.0%}  {self._progress.steps:,} / {self._progress.total:,}"
        counts += " steps" if inside >= 50 else ""
        room = max(8, inside - len(counts) - 2)
        full = int(done * room)
        bar = ("━" * full, "green" if full == room else "cyan"), ("─" * (room - full), "dim")
        return Text.assemble(*bar, f"  {counts}", no_wrap=True, overflow="crop")

    def _pace(self, inside: int, status: str) -> Text:
        speed = self._progress.speed
        parts = ["-" if speed is None else f"{speed:,.0f} steps/s"]
        if status:
            parts.append(f"{status} after {duration(self._progress.elapsed)}")
        else:
            parts += [f"{duration(self._progress.elapsed)} elapsed"] if inside >= 50 else []
            parts.append(f"{duration(self._progress.left)} left")
            if inside >= 70 and self._phase and self._clock() - self._row_at >= SLOW:
                counts = f" {self._collected:,} of {self._batch:,}" if self._phase == "collecting" else ""
                parts.append(self._phase + counts)
        return Text("   ".join(parts), style="dim", no_wrap=True, overflow="crop")

    def _gauge(self, gauge: Gauge, inside: int) -> Text:
        style = gauge.style(self._latest)
        label, value = f"{gauge.label:<14}", f"{gauge.text(self._latest[gauge.metric]):>9}"
        # The mark shows without colour what red shows with it.
        mark = " ! " if style == POOR else "   "
        room = min(SPARKLINE[-1], inside - BEFORE - NOTE)
        noted = room >= SPARKLINE[0]
        room = room if noted else max(0, inside - BEFORE)
        course = self._series[gauge.metric].sparkline(room, gauge.minimum, gauge.maximum)
        line = Text.assemble(label, (value, style), (mark, style), (course.ljust(room), "dim cyan"))
        if noted:
            line.append("  " + gauge.note(self._latest), "dim")
        line.no_wrap, line.overflow = True, "crop"
        return line
