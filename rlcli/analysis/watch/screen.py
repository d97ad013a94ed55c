"""Drawing of watched runs: a table of many, the courses of one; and one line of text for pipes."""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from rlcli.analysis.watch.board import BAD, TRAINING, Board, Watched, extremes
from rlcli.loggers.panel import BEFORE, FAIR, GOOD, POOR, Gauge, gauges
from rlcli.loggers.progress import duration, figure, share
from rlcli.text import visible

RETURN, SPEED = "train/return_100", "time/steps_per_second"
NAME, GAP = 14, 2
"""Width of a name that is always there, and what is between columns."""
FIRST = 3
"""Figures that have room before the sparkline."""
COURSE = 10
"""Least width of a sparkline; where it does not fit there is none."""
WIDEST_COURSE = 40
ALERTS = 6
"""Maximum alerts that are shown."""
STYLES = {"running": "cyan", "finished": GOOD, "failed": POOR, "killed": POOR, "damaged": POOR,
          "removed": POOR, "interrupted": FAIR, "pruned": FAIR}  # fmt: skip

SETTING = re.compile(r"(^|[,/])[\w.]+=")
"""A key in the name of a job; where names are too long, values alone are shown."""

Column = tuple[str, Callable[[Watched], str]]
COLUMNS: tuple[Column, ...] = (
    ("return", lambda run: figure(run.row.get(RETURN))),
    ("KL", lambda run: figure(run.row.get("behaviour/kl_mu_pi"))),
    ("ESS", lambda run: share(run.row.get("behaviour/ess"))),
    ("clip", lambda run: share(run.row.get("behaviour/clip_fraction"))),
    ("entropy", lambda run: figure(run.row.get("update/entropy"))),
    ("steps/s", lambda run: figure(run.row.get(SPEED))),
)
"""Figures of a run; a narrow terminal shows the first ones."""


def render(board: Board, console: Console, *, hint: str = "") -> Group:
    """What is drawn, for the console's present size; `hint` is on its last line."""
    runs = board.by_attention()
    width, height = console.width, console.height
    plain = console.options.ascii_only
    total = wrapped(_cap(summary(board)), width)
    warned = _alert_lines(runs, height)
    room = height - len(total) - len(warned) - 5
    if len(runs) == 1 and not board.waiting:
        body: Sequence[Table | Text] = _lone(runs[0], width, plain)[: max(1, room + 3)]
    elif runs:
        shown = runs[: max(1, room)]
        hidden = len(runs) - len(shown)
        more = [Text(f"and {hidden} more", style="dim")] if hidden else []
        body = [_table(shown, width, plain), *more]
    else:
        body = [Text("No run has started yet.", style="dim")]
    foot = [Text(line, no_wrap=True) for line in total]
    tail = [Text(hint, style="dim", no_wrap=True, overflow="crop")] if hint else []
    return Group(*body, *warned, Text(), *foot, *tail)


def summary(board: Board) -> str:
    """The state of all runs in one line."""
    done, total = board.steps
    counts = ", ".join(f"{amount} {status}" for status, amount in board.counts.items())
    parts = [f"{done / total:.0%} of {total:,} steps"] if total else []
    parts.append(counts or "no run has started")
    returns = [run.row[RETURN] for run in board.runs.values() if RETURN in run.row]
    if returns:
        parts.append(f"{'median ' if len(returns) > 1 else ''}return {figure(statistics.median(returns))}")
    left = _left(board)
    if left is not None:
        parts.append(f"{duration(left)} left")
    return ", ".join(parts)


def plain_lines(board: Board) -> list[str]:
    """The summary and the alerts, for a pipe."""
    warned = [f"{run.label}: {text}" for run in board.by_attention() for text in _warnings(run)]
    return [summary(board), *(f"! {visible(text)}" for text in warned[:ALERTS])]


def rows(board: Board) -> tuple[list[str], list[list[str]]]:
    """Headings and cells of the table of all runs, in the order in which they were named."""
    headings = ["run", "status", "done", *(title for title, _ in COLUMNS)]
    cells = [
        [run.label, run.status, f"{run.done:.0%}", *(text(run) for _, text in COLUMNS)]
        for run in board.runs.values()
    ]
    return headings, cells


def wrapped(text: str, width: int) -> list[str]:
    """Lines of at most `width` columns, broken between words."""
    lines = [""]
    for word in text.split(" "):
        beside = f"{lines[-1]} {word}" if lines[-1] else word
        if len(beside) <= width or not lines[-1]:
            lines[-1] = beside
        else:
            lines.append(word)
    return lines


def _cap(text: str) -> str:
    return text[:1].upper() + text[1:]


def _left(board: Board) -> float | None:
    """Seconds until the last run that trains is done, at its present speed."""
    left = [
        (run.total - run.steps) / run.row[SPEED]
        for run in board.runs.values()
        if run.status == TRAINING and run.row.get(SPEED, 0.0) > 0
    ]
    return max(left, default=None)


def _table(runs: Sequence[Watched], width: int, plain: bool, brief: bool = False) -> Table:
    """One line per run; sparklines of the return, those of one environment on one scale, all of env steps.

    The first figures have room before the sparkline, the others behind it, as far as the width allows. Where
    names do not fit, they are `brief`: values without keys.
    """
    names = [visible(run.label) for run in runs]
    if brief:
        names = [SETTING.sub(r"\1", name) for name in names]
    states = [run.status if run.status != TRAINING else f"{run.done:.0%}" for run in runs]
    cells = {title: [text(run) for run in runs] for title, text in COLUMNS}
    widths = {title: max(map(len, (title, *texts))) + GAP for title, texts in cells.items()}
    longest, status = max(map(len, (*names, "run"))), max(map(len, (*states, "done")))
    room = width - min(longest, NAME) - GAP - status
    shown, course = [COLUMNS[0][0]], 0
    room -= widths[shown[0]]
    for place, (title, _) in enumerate(COLUMNS[1:], start=1):
        if place == FIRST and not plain and room >= COURSE + GAP:
            course, room = COURSE, room - COURSE - GAP
        if room < widths[title]:
            break
        shown.append(title)
        room -= widths[title]
    named = min(longest, min(longest, NAME) + max(0, room))
    if named < longest and not brief:
        return _table(runs, width, plain, brief=True)
    room -= named - min(longest, NAME)
    course = min(WIDEST_COURSE, course + max(0, room)) if course else 0
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, GAP - 1, 0, 0))
    table.add_column("run", no_wrap=True, width=named)
    table.add_column("done", no_wrap=True, justify="right", width=status)
    for title in shown:
        table.add_column(title, justify="right", no_wrap=True, width=widths[title] - GAP)
        if title == "return" and course:
            table.add_column("", no_wrap=True, width=course)
    scales = {env: extremes(same, RETURN) for env, same in _by_environment(runs).items()}
    longest_run = max((run.total for run in runs), default=0)
    for place, run in enumerate(runs):
        line = [
            Text(shortened(names[place], named), style="bold" if run.alerts else ""),
            Text(states[place], style=STYLES.get(run.status, "")),
        ]
        for title in shown:
            line.append(Text(cells[title][place], style=_style(title, run)))
            if title == "return" and course:
                line.append(Text(_course(run, course, scales[_environment(run)], longest_run), style="cyan"))
        table.add_row(*line)
    return table


def shortened(text: str, width: int) -> str:
    """The text in at most `width` columns: its middle is left out, since names of jobs differ at the end."""
    if len(text) <= width:
        return text
    start = (width - 1) // 3
    return f"{text[:start]}…{text[len(text) - (width - 1 - start) :]}" if width > 1 else text[:width]


def _environment(run: Watched) -> str:
    return str(run.about.get("env"))


def _by_environment(runs: Sequence[Watched]) -> dict[str, list[Watched]]:
    found: dict[str, list[Watched]] = {}
    for run in runs:
        found.setdefault(_environment(run), []).append(run)
    return found


def _style(title: str, run: Watched) -> str:
    metric = {"ESS": "behaviour/ess", "KL": "update/budget_used", "clip": "behaviour/clip_fraction"}.get(
        title
    )
    rule = next((rule for rule in run.rules if rule.metric == metric), None)
    value = run.row.get(metric) if metric else None
    return POOR if rule is not None and value is not None and rule.broken(value) else ""


def _course(run: Watched, width: int, scale: tuple[float | None, float | None], steps: int) -> str:
    """A sparkline as long as the run's share of the longest run's env steps."""
    if RETURN not in run.series:
        return ""
    own = max(1, round(width * run.steps / steps)) if steps > 0 else width
    return run.series[RETURN].sparkline(min(width, own), *scale)


def _lone(run: Watched, width: int, plain: bool) -> list[Text]:
    """A run alone: who it is, how far, then a line per metric with its course."""
    about = run.about
    title = f"{about['algo']} on {about['env']}, seed {about['seed']}" if about else ""
    state = f"{run.status}, {run.done:.0%} of {run.total:,} steps"
    lines = [
        Text.assemble((visible(run.label), "bold"), f"  {visible(title)}", no_wrap=True, overflow="ellipsis"),
        Text(state, style=STYLES.get(run.status, ""), no_wrap=True, overflow="ellipsis"),
        Text(),
    ]
    steps = run.steps / run.row["update"] if run.row.get("update") else 0.0
    found = [gauge for block in gauges(round(steps)) for gauge in block if gauge.metric in run.row]
    note = max((len(gauge.note(run.row)) for gauge in found), default=0)
    return lines + [_gauge(gauge, run, width, note, plain) for gauge in found]


def _gauge(gauge: Gauge, run: Watched, width: int, note: int, plain: bool) -> Text:
    """A line of a metric: value, course, and a note where the longest, of `note` columns, fits beside it."""
    style = gauge.style(run.row)
    label, value = f"{gauge.label:<14}", f"{gauge.text(run.row[gauge.metric]):>9}"
    noted = width - BEFORE - note - GAP >= COURSE
    room = min(WIDEST_COURSE, max(0, width - BEFORE - (note + GAP if noted else 0)))
    course = "" if plain else run.series[gauge.metric].sparkline(room, gauge.minimum, gauge.maximum)
    line = Text.assemble(
        label, (value, style), " ! " if style == POOR else "   ", (course.ljust(room), "cyan")
    )
    if noted:
        line.append("  " + gauge.note(run.row), "dim")
    line.no_wrap, line.overflow = True, "crop"
    return line


def _alert_lines(runs: Sequence[Watched], height: int) -> list[Text]:
    texts = [f"{run.label}: {text}" for run in runs for text in _warnings(run)]
    most = max(1, min(ALERTS, height // 4))
    lines = [f"! {visible(text)}" for text in texts[:most]]
    if len(texts) > most:
        lines.append(f"! {len(texts) - most} more")
    return [Text(line, style=POOR, no_wrap=True, overflow="ellipsis") for line in lines]


def _warnings(run: Watched) -> list[str]:
    ended = [f"{run.status}: {run.message}".rstrip(": ")] if run.status in BAD else []
    return [*ended, *(alert.text for alert in run.alerts)]
