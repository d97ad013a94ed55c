"""A sweep as it is watched: a line a member and a total, live on a terminal, plain lines elsewhere.

Where nothing can be shown any more the sweep goes on in silence.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TextIO, cast

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from rlcli.loggers.progress import Clock, Progress, duration, figure, share
from rlcli.streams import Writer, err
from rlcli.sweeps.sweep import Job
from rlcli.text import visible

REFRESH = 0.5
"""Least seconds between two drawings."""
COST = 0.01
"""Greatest share of the time that drawing may take."""
EVERY = 10.0
"""Seconds after which a plain line is due, whatever the progress."""
AROUND = 7
"""Lines of the panel beside those of members."""

NAME, COLUMN = 24, 9
"""Cells for a job's name and how far it is, and for each figure: a narrow panel has fewer figures."""
TOLD = ("failed", "pruned")
"""Endings that are told at once; the table at the end has them all."""

Row = Mapping[str, Any]
COLUMNS: tuple[tuple[str, Callable[[Row], str]], ...] = (
    ("return", lambda row: figure(row.get("train/return_100"))),
    ("KL", lambda row: figure(row.get("behaviour/kl_mu_pi"))),
    ("ESS", lambda row: share(row.get("behaviour/ess"))),
    ("clip", lambda row: share(row.get("behaviour/clip_fraction"))),
)


class Watch(Protocol):
    """Who hears how a sweep goes."""

    def expect(self, jobs: int, steps: int) -> None:
        """So many jobs are to come beside those known, or fewer, of about so many env steps each."""

    def add(self, jobs: Sequence[Job], totals: Mapping[str, int]) -> None:
        """Jobs that were to come."""

    def row(self, name: str, row: Row) -> None:
        """An update of a job."""

    def ended(self, job: Job) -> None:
        """A job has come to its end."""

    def say(self, text: str) -> None:
        """A message."""

    def close(self) -> None:
        """Nothing more will come."""


class Silent:
    """Tells of failures alone."""

    def __init__(self, stream: TextIO | Writer) -> None:
        self._stream = Writer.of(stream)

    def expect(self, jobs: int, steps: int) -> None:
        """Nothing."""

    def add(self, jobs: Sequence[Job], totals: Mapping[str, int]) -> None:
        """Nothing."""

    def row(self, name: str, row: Row) -> None:
        """Nothing."""

    def ended(self, job: Job) -> None:
        """Tells of a job that failed."""
        if job.status == "failed":
            self._stream.line(ending(job))

    def say(self, text: str) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


def watch(jobs: Sequence[Job], totals: Mapping[str, int], quiet: bool) -> Watch:
    """What suits stderr; `totals` are the env steps each job still to be trained ends at."""
    if quiet:
        return Silent(err())
    if err().isatty():
        console = Console(file=cast(TextIO, err()))
        if not console.is_dumb_terminal and not console.options.ascii_only:
            return Panel(jobs, totals, console)
    return Lines(jobs, totals, err())


class _Standing:
    """How far the jobs are."""

    def __init__(self, jobs: Sequence[Job], totals: Mapping[str, int], clock: Clock) -> None:
        self.totals = dict(totals)
        self.latest: dict[str, Row] = {}
        """The last row of each job in training, in the order in which they began."""
        self.over = {job.name: job for job in jobs if job.name not in totals}
        self.count = len(jobs)
        self._steps = {job.name: job.env_steps or 0 for job in jobs if job.name in totals}
        self._all = sum(self._steps.values())
        self.progress = Progress(self._all, sum(totals.values()), clock)
        self._to_come, self._steps_each = 0, 0

    def expect(self, jobs: int, steps: int) -> None:
        self._to_come, self._steps_each = self._to_come + jobs, steps
        self.count += jobs
        self.progress.total += jobs * steps

    def add(self, jobs: Sequence[Job], totals: Mapping[str, int]) -> None:
        self.expect(-min(len(jobs), self._to_come), self._steps_each)
        self.count += len(jobs)
        self.totals |= totals
        self._steps |= {job.name: job.env_steps or 0 for job in jobs}
        self.progress.total += sum(totals.values())

    def row(self, name: str, row: Row) -> None:
        self.latest[name] = {**self.latest.get(name, {}), **row}
        self._reach(name, row["env_steps"])

    def ended(self, job: Job) -> None:
        self.latest.pop(job.name, None)
        self.over[job.name] = job
        if job.status == "finished":
            self._reach(job.name, self.totals[job.name])
        else:  # what it did not do is no part of the way any more
            self.progress.total -= self.totals[job.name] - self._steps[job.name]

    def _reach(self, name: str, steps: int) -> None:
        self._all += steps - self._steps[name]
        self._steps[name] = steps
        self.progress.reach(self._all)

    def total(self) -> str:
        """The total in one line."""
        progress = self.progress
        speed = "-" if progress.speed is None else f"{progress.speed:,.0f}"
        returns = [row["train/return_100"] for row in self.latest.values() if "train/return_100" in row]
        returns += [job.eval_return_mean for job in self.over.values() if job.eval_return_mean is not None]
        median = f", median return {figure(statistics.median(returns))}" if returns else ""
        done = sum(job.status == "finished" for job in self.over.values())
        return (
            f"{progress.fraction:4.0%} of {progress.total:,} steps, {speed} steps/s, "
            f"{duration(progress.left)} left, {done} of {self.count} finished{median}"
        )


class Lines:
    """Plain lines: the total every few seconds and every tenth, and each job that does not end well."""

    def __init__(
        self,
        jobs: Sequence[Job],
        totals: Mapping[str, int],
        stream: TextIO | Writer,
        clock: Clock = time.monotonic,
    ) -> None:
        self._standing = _Standing(jobs, totals, clock)
        self._stream, self._clock = Writer.of(stream), clock
        self._due, self._tenth = clock() + EVERY, 0

    def expect(self, jobs: int, steps: int) -> None:
        """Counts jobs that are to come."""
        self._standing.expect(jobs, steps)

    def add(self, jobs: Sequence[Job], totals: Mapping[str, int]) -> None:
        """Takes jobs in."""
        self._standing.add(jobs, totals)

    def row(self, name: str, row: Row) -> None:
        """Prints the total if it is due."""
        self._standing.row(name, row)
        tenth = int(10 * self._standing.progress.fraction)
        if self._clock() >= self._due or tenth > self._tenth:
            self.say(self._standing.total())
            self._due, self._tenth = self._clock() + EVERY, tenth

    def ended(self, job: Job) -> None:
        """Tells of a job."""
        self._standing.ended(job)
        if job.status in TOLD:
            self.say(ending(job))

    def say(self, text: str) -> None:
        """Prints a line."""
        self._stream.line(text)

    def close(self) -> None:
        """Nothing: the table of the jobs follows."""


class Panel:
    """Draws a table in place: a line for each member in training, as far as there is room, and the total."""

    def __init__(
        self,
        jobs: Sequence[Job],
        totals: Mapping[str, int],
        console: Console,
        clock: Clock = time.monotonic,
    ) -> None:
        self._standing = _Standing(jobs, totals, clock)
        self._console, self._clock = console, clock
        self._due = clock()
        self._live = Live(
            self.render(),
            console=console,
            auto_refresh=False,
            redirect_stdout=False,
            vertical_overflow="crop",
        )
        self._live.start(refresh=True)

    def expect(self, jobs: int, steps: int) -> None:
        """Counts jobs that are to come."""
        self._standing.expect(jobs, steps)

    def add(self, jobs: Sequence[Job], totals: Mapping[str, int]) -> None:
        """Takes jobs in."""
        self._standing.add(jobs, totals)

    def row(self, name: str, row: Row) -> None:
        """Takes a row in, and draws if a drawing is due."""
        self._standing.row(name, row)
        if self._clock() >= self._due:
            self._draw()

    def ended(self, job: Job) -> None:
        """Takes a job out of the table."""
        self._standing.ended(job)
        if job.status in TOLD:
            self.say(ending(job))

    def say(self, text: str) -> None:
        """Prints a line above the table."""
        self._console.print(Text(visible(text)))

    def close(self) -> None:
        """Leaves the last total, and the cursor below it."""
        try:
            self._draw()
        finally:
            self._live.stop()

    def _draw(self) -> None:
        started = self._clock()
        self._live.update(self.render(), refresh=True)
        drawn = self._clock()
        self._due = drawn + max(REFRESH, (drawn - started) / COST)

    def render(self) -> Group:
        """The table and the total for the console's present size."""
        standing = self._standing
        total = Text(standing.total(), no_wrap=True, overflow="ellipsis")
        room = max(1, self._console.height - AROUND)
        shown = list(standing.latest.items())[:room]
        if not shown:
            return Group(total)
        table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
        width = self._console.width
        columns = COLUMNS[: max(1, (width - NAME) // COLUMN)]
        longest = max(1, width - COLUMN * (1 + len(columns)))
        table.add_column("job", no_wrap=True, overflow="ellipsis", max_width=longest)
        for title in ("done", *(title for title, _ in columns)):
            table.add_column(title, justify="right", no_wrap=True)
        for name, row in shown:
            done = row["env_steps"] / standing.totals[name]
            table.add_row(Text(visible(name)), f"{done:.0%}", *(text(row) for _, text in columns))
        hidden = len(standing.latest) - len(shown)
        more = [Text(f"and {hidden} more in training", style="dim")] if hidden else []
        return Group(table, *more, Text(), total)


def ending(job: Job) -> str:
    """How a job ended, in a line."""
    if job.status == "pruned":
        return f"{job.name} pruned after {job.env_steps or 0:,} steps"
    return f"{job.name} {job.status}: {job.message or 'no reason given'}"
