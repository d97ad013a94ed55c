"""Progress display of a sweep: one line per run and a total, live on a terminal, one line in a
notebook, plain lines elsewhere.

If the terminal goes away, the sweep trains on without a display.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TextIO, cast

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from rlcli.loggers.notebook import NotebookLine, in_notebook
from rlcli.loggers.progress import Clock, Progress, duration, figure, share
from rlcli.streams import Writer, err
from rlcli.sweeps.sweep import Job
from rlcli.text import visible

REFRESH = 0.5
"""Minimum seconds between two drawings."""
COST = 0.01
"""Maximum share of the time that drawing may take."""
EVERY = 10.0
"""Seconds after which a plain line is due without further progress."""
AROUND = 7
"""Lines of the panel besides those of runs."""

NAME, COLUMN = 24, 9
"""Width up to which a job's name is shown whole, and width of each figure: a narrow panel has fewer."""
SHOWN = ("failed", "pruned")
"""Endings that are shown at once; the table at the end has them all."""

Figures = Mapping[str, float]
COLUMNS: tuple[tuple[str, Callable[[Figures], str]], ...] = (
    ("return", lambda row: figure(row.get("train/return_100"))),
    ("KL", lambda row: figure(row.get("behaviour/kl_mu_pi"))),
    ("ESS", lambda row: share(row.get("behaviour/ess"))),
    ("clip", lambda row: share(row.get("behaviour/clip_fraction"))),
)


class Display(Protocol):
    """Shows the progress of a sweep."""

    def expect(self, jobs: int, steps: int) -> None:
        """Adds to the jobs still to come, of about `steps` env steps each; a negative number removes."""

    def add(self, jobs: Sequence[Job], totals: Mapping[str, int]) -> None:
        """Adds jobs, taken off those still to come; `totals` are the env steps each ends at."""

    def row(self, name: str, figures: Figures) -> None:
        """Takes in the figures of a job's last update."""

    def ended(self, job: Job) -> None:
        """Takes in the end of a job."""

    def message(self, text: str) -> None:
        """Shows a line of text."""

    def close(self, *, interrupted: bool) -> None:
        """Ends the display; `interrupted`: by a signal."""


class Silent:
    """Shows failures only."""

    def __init__(self, stream: TextIO | Writer) -> None:
        self._stream = Writer.of(stream)

    def expect(self, jobs: int, steps: int) -> None:
        """Nothing."""

    def add(self, jobs: Sequence[Job], totals: Mapping[str, int]) -> None:
        """Nothing."""

    def row(self, name: str, figures: Figures) -> None:
        """Nothing."""

    def ended(self, job: Job) -> None:
        """Shows a job that failed."""
        if job.status == "failed":
            self._stream.line(ending(job))

    def message(self, text: str) -> None:
        """Nothing."""

    def close(self, *, interrupted: bool) -> None:
        """Nothing."""


def display(jobs: Sequence[Job], totals: Mapping[str, int], quiet: bool) -> Display:
    """The display that suits stderr; `totals` are the env steps that jobs not yet ended end at."""
    if quiet:
        return Silent(err())
    if err().isatty():
        console = Console(file=cast(TextIO, err()))
        if not console.is_dumb_terminal and not console.options.ascii_only:
            return Panel(jobs, totals, console)
    elif in_notebook():
        return Notebook(jobs, totals)
    return Lines(jobs, totals, err())


class Tally:
    """Steps, results and counts of the jobs so far."""

    def __init__(self, jobs: Sequence[Job], totals: Mapping[str, int], clock: Clock) -> None:
        self.totals = dict(totals)
        self.latest: dict[str, Figures] = {}
        """The last figures of each job in training, in the order of their start."""
        self.ended_jobs = {job.name: job for job in jobs if job.name not in totals}
        self.count = len(jobs)
        self._steps = {job.name: job.env_steps or 0 for job in jobs if job.name in totals}
        self._all = sum(self._steps.values())
        self.progress = Progress(self._all, sum(totals.values()), clock)
        self._expected, self._steps_each = 0, 0

    def expect(self, jobs: int, steps: int) -> None:
        """See `Display`."""
        self._expected, self._steps_each = self._expected + jobs, steps
        self.count += jobs
        self.progress.total += jobs * steps

    def add(self, jobs: Sequence[Job], totals: Mapping[str, int]) -> None:
        """See `Display`."""
        self.expect(-min(len(jobs), self._expected), self._steps_each)
        self.count += len(jobs)
        self.totals |= totals
        self._steps |= {job.name: job.env_steps or 0 for job in jobs}
        self.progress.total += sum(totals.values())

    def row(self, name: str, figures: Figures) -> None:
        """See `Display`."""
        if not self.latest:
            self.progress.restart()
        self.latest[name] = {**self.latest.get(name, {}), **figures}
        self._reach(name, int(figures["env_steps"]))

    def ended(self, job: Job) -> None:
        """See `Display`."""
        self.latest.pop(job.name, None)
        self.ended_jobs[job.name] = job
        if job.status == "finished":
            self._reach(job.name, self.totals[job.name])
        elif job.status != "interrupted":  # steps that it did not take are not left either
            self.progress.total -= self.totals[job.name] - self._steps[job.name]

    def _reach(self, name: str, steps: int) -> None:
        self._all += steps - self._steps[name]
        self._steps[name] = steps
        self.progress.reach(self._all)

    def total(self, interrupted: bool = False) -> str:
        """The total in one line; of an interrupted sweep, what is left to do instead of speed and time."""
        progress = self.progress
        speed = "-" if progress.speed is None else f"{progress.speed:,.0f}"
        pace = f"{speed} steps/s, {duration(progress.left)} left"
        if interrupted:
            pace = f"interrupted after {duration(progress.elapsed)}"
        returns = [row["train/return_100"] for row in self.latest.values() if "train/return_100" in row]
        returns += [
            job.eval_return_mean for job in self.ended_jobs.values() if job.eval_return_mean is not None
        ]
        median = f", median return {figure(statistics.median(returns))}" if returns else ""
        done = sum(job.status == "finished" for job in self.ended_jobs.values())
        return (
            f"{progress.fraction:4.0%} of {progress.total:,} steps, {pace}, "
            f"{done} of {self.count} finished{median}"
        )


class Counted:
    """What the displays have in common: each counts jobs and steps, and shows failures at once."""

    def __init__(self, jobs: Sequence[Job], totals: Mapping[str, int], clock: Clock) -> None:
        self._tally, self._clock = Tally(jobs, totals, clock), clock

    def expect(self, jobs: int, steps: int) -> None:
        """See `Display`."""
        self._tally.expect(jobs, steps)

    def add(self, jobs: Sequence[Job], totals: Mapping[str, int]) -> None:
        """See `Display`."""
        self._tally.add(jobs, totals)

    def ended(self, job: Job) -> None:
        """Shows a job that failed or was pruned."""
        self._tally.ended(job)
        if job.status in SHOWN:
            self.message(ending(job))

    def message(self, text: str) -> None:
        """See `Display`."""
        err().line(text)


class Lines(Counted):
    """Plain lines: the total every few seconds and every tenth, and each job that fails or is pruned."""

    def __init__(
        self,
        jobs: Sequence[Job],
        totals: Mapping[str, int],
        stream: TextIO | Writer,
        clock: Clock = time.monotonic,
    ) -> None:
        super().__init__(jobs, totals, clock)
        self._stream = Writer.of(stream)
        self._due, self._tenth = clock() + EVERY, 0

    def row(self, name: str, figures: Figures) -> None:
        """Prints the total if it is due."""
        self._tally.row(name, figures)
        tenth = int(10 * self._tally.progress.fraction)
        if self._clock() >= self._due or tenth > self._tenth:
            self.message(self._tally.total())
            self._due, self._tenth = self._clock() + EVERY, tenth

    def message(self, text: str) -> None:
        """Prints a line."""
        self._stream.line(text)

    def close(self, *, interrupted: bool) -> None:
        """Prints the total of an interrupted sweep; the table of the jobs follows."""
        if interrupted:
            self.message(self._tally.total(interrupted))


class Notebook(Counted):
    """One line of a notebook's output, written anew: the total."""

    def __init__(self, jobs: Sequence[Job], totals: Mapping[str, int], clock: Clock = time.monotonic) -> None:
        super().__init__(jobs, totals, clock)
        self._line = NotebookLine(clock)

    def row(self, name: str, figures: Figures) -> None:
        """Writes the total if it is due."""
        self._tally.row(name, figures)
        if self._line.due:
            self._line.show(self._tally.total())

    def close(self, *, interrupted: bool) -> None:
        """Writes the last total."""
        self._line.show(self._tally.total(interrupted))


class Panel(Counted):
    """Draws a table in place: one line per run in training, as many as fit, and the total."""

    def __init__(
        self,
        jobs: Sequence[Job],
        totals: Mapping[str, int],
        console: Console,
        clock: Clock = time.monotonic,
    ) -> None:
        super().__init__(jobs, totals, clock)
        self._console = console
        self._due = clock()
        self._interrupted = False
        self._live = Live(
            self.render(),
            console=console,
            auto_refresh=False,
            redirect_stdout=False,
            vertical_overflow="crop",
        )
        self._live.start(refresh=True)

    def row(self, name: str, figures: Figures) -> None:
        """Takes figures in, and draws if a drawing is due."""
        self._tally.row(name, figures)
        if self._clock() >= self._due:
            self._draw()

    def message(self, text: str) -> None:
        """Prints a line above the table."""
        self._console.print(Text(visible(text)))

    def close(self, *, interrupted: bool) -> None:
        """Leaves the last total, and the cursor below it."""
        self._interrupted = interrupted
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
        tally = self._tally
        # Its lines are counted: the panel must not be higher than the terminal.
        lines = Text(tally.total(self._interrupted)).wrap(self._console, self._console.width)
        total = Text("\n").join(lines)
        room = max(1, self._console.height - AROUND - len(lines) + 1)
        shown = list(tally.latest.items())[:room]
        if not shown:
            return Group(total)
        table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
        width = self._console.width
        name_width = min(NAME, max(cell_len(visible(name)) for name, _ in shown))
        columns = COLUMNS[: max(1, (width - name_width - COLUMN) // COLUMN)]
        longest = max(1, width - COLUMN * (1 + len(columns)))
        table.add_column("job", no_wrap=True, overflow="ellipsis", max_width=longest)
        for title in ("done", *(title for title, _ in columns)):
            table.add_column(title, justify="right", no_wrap=True)
        for name, figures in shown:
            done = figures["env_steps"] / tally.totals[name]
            table.add_row(Text(visible(name)), f"{done:.0%}", *(text(figures) for _, text in columns))
        hidden = len(tally.latest) - len(shown)
        more = [Text(f"and {hidden} more in training", style="dim")] if hidden else []
        return Group(table, *more, Text(), total)


def ending(job: Job) -> str:
    """How a job ended, in one line."""
    if job.status == "pruned":
        return f"{job.name} pruned after {job.env_steps or 0:,} steps"
    return f"{job.name} {job.status}: {job.message or 'no reason given'}"
