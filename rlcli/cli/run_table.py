"""Table of runs that fits the terminal: columns are left out, then each run gets lines of its own."""

from __future__ import annotations

from collections.abc import Sequence

from rlcli.cli.differing import differing
from rlcli.cli.output import BETWEEN, count, paragraph, result, table
from rlcli.cli.run_lines import Line
from rlcli.cli.times import readable
from rlcli.loggers.progress import figure
from rlcli.streams import columns, out
from rlcli.text import visible

HEADINGS = ("name", "status", "return", "steps", "settings", "id", "started (UTC)")
RIGHT = ("return", "steps")
DISPENSABLE = ("started (UTC)", "id", "steps")
"""Columns that are left out, the first one first, where the terminal is too narrow."""
MINIMUM = 24
"""Columns that settings need in a table; longer ones are cut."""
CUT = "..."


def print_table(lines: Sequence[Line]) -> None:
    """Print a table of runs and sweeps; piped, it has every column and whole settings."""
    rows = [_cells(line, line.status) for line in lines]
    if not out().isatty():
        table(HEADINGS, rows, RIGHT)
        return
    short = [_cells(line, line.short_status) for line in lines]
    if not any(
        _print_fitting(*layout) for layout in ((rows, 0), *((short, n) for n in range(len(DISPENSABLE) + 1)))
    ):
        for line in lines:
            _print_apart(line)


def _print_fitting(rows: Sequence[Sequence[str]], dropped: int) -> bool:
    """Print a table without the first `dropped` dispensable columns if it fits the terminal."""
    rows = [[visible(cell).replace("\n", "\\n") for cell in row] for row in rows]
    chosen = [place for place, name in enumerate(HEADINGS) if name not in DISPENSABLE[:dropped]]
    room = columns() - _width(chosen, rows)
    if room < min(MINIMUM, _widest(HEADINGS.index("settings"), rows)):
        return False
    shown = [_chosen(row, chosen, room) for row in rows]
    table([HEADINGS[place] for place in chosen], shown, RIGHT)
    return True


def _cells(line: Line, status: str) -> tuple[str, ...]:
    return (
        line.title,
        status,
        figure(line.result),
        count(line.steps),
        _settings(line) or "-",
        line.id,
        "-" if line.started is None else readable(line.started, seconds=False),
    )


def _settings(line: Line) -> str:
    settings = differing(line.members, line.title.rstrip("/"))
    if not line.is_sweep:
        return settings
    amount = len(line.members)
    return f"{amount} run{'s' if amount > 1 else ''}" + (f": {settings}" if settings else "")


def _widest(place: int, rows: Sequence[Sequence[str]]) -> int:
    return max(len(HEADINGS[place]), *(len(row[place]) for row in rows))


def _width(chosen: Sequence[int], rows: Sequence[Sequence[str]]) -> int:
    """Columns of the table without its settings."""
    widths = [_widest(place, rows) for place in chosen if HEADINGS[place] != "settings"]
    return sum(widths) + len(BETWEEN) * len(widths)


def _chosen(row: Sequence[str], chosen: Sequence[int], room: int) -> list[str]:
    return [_cut(row[place], room) if HEADINGS[place] == "settings" else row[place] for place in chosen]


def _cut(text: str, room: int) -> str:
    """The text in at most `room` columns, cut between two settings where it can be."""
    if len(text) <= room:
        return text
    kept = text[: max(0, room - len(CUT))]
    whole = kept.rpartition(" ")[0]
    return f"{whole} {CUT}" if whole else kept + CUT


def _print_apart(line: Line) -> None:
    """Print a run on lines of its own."""
    title, status, returned, steps, settings, run_id, started = _cells(line, line.status)
    result(title)
    facts = [
        status,
        *([f"return {returned}"] if returned != "-" else []),
        *([f"{steps} steps"] if steps != "-" else []),
        *([f"id {run_id}"] if run_id != "-" else []),
        *([started] if started != "-" else []),
    ]
    paragraph(", ".join(facts), "  ")
    if settings != "-":
        paragraph(settings, "  ")
