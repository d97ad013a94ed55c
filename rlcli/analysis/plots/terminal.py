"""Plots as text: one panel below the other, letters on their lines, and a legend with the last values.

Readable without colour and at 60 columns: letters tell lines apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from rlcli.analysis.history import Array
from rlcli.analysis.plots.axes import labels, log_ticks, short, spread, ticks
from rlcli.analysis.plots.braille import Canvas
from rlcli.analysis.plots.plot import OTHERS, Bars, Mark, Panel, Plot
from rlcli.analysis.plots.style import style
from rlcli.loggers.progress import figure
from rlcli.text import counted, visible

HEIGHT = 14
"""Rows of a panel."""
WIDEST = 100
"""Columns beyond which a panel is not made wider."""
LETTERS = 3
"""Letters on each line, besides that at its end."""

Span = tuple[str, str]
"""Text, and its colour or "" for none."""
Line = list[Span]


def lines(plot: Plot, width: int, *, braille: bool = True) -> Iterator[Line]:
    """The lines of a plot; none is longer than `width`, from 40 columns on."""
    width = max(20, min(width, WIDEST))
    for place, panel in enumerate(plot.panels):
        if place:
            yield []
        yield from _bars(panel, width, braille) if isinstance(panel, Bars) else _panel(panel, width, braille)
    if plot.caption:
        yield []
        yield from ([(text, "")] for text in _wrapped(plot.caption, width))


def _panel(panel: Panel, width: int, braille: bool) -> Iterator[Line]:
    low, high = panel.range()
    marks = [mark for mark in panel.marks if mark.place != OTHERS]
    many = len(marks) > 1
    y_ticks = ticks(low, high, 5)
    names = labels(y_ticks)
    left = max(map(len, names)) + 1
    room = width - left - 1 - (2 if many else 0)
    title = (
        panel.title
        if not panel.y_label or panel.y_label == panel.title
        else f"{panel.y_label}, {panel.title}"
    )
    yield [(_cut(title, width), "bold")]
    canvas = Canvas(room, HEIGHT)
    first, last = panel.x_range()
    drawn = [(mark, *_scaled(panel, mark, first, last, low, high)) for mark in marks]
    for mark, line, dots in drawn:
        canvas.line(*line, mark.place)
        canvas.dots(*dots, mark.place)
    if many:
        _letters(canvas, drawn)
    rows = {_row(tick, low, high): label for tick, label in zip(y_ticks, names, strict=True)}
    levels = {_row(level.value, low, high) for level in panel.shown_levels()}
    ends = _ends(drawn) if many else {}
    for row in range(HEIGHT):
        start = rows.get(row, "").rjust(left) + ("┤" if row in rows else "│")
        spans: Line = [(start if braille else start.replace("┤", "|").replace("│", "|"), "")]
        for cell in canvas.cells[row]:
            empty = not cell.dots and not cell.letter
            text = ("·" if braille else "-") if empty and row in levels else canvas.text(cell, braille)
            spans.append((text, "" if cell.owner is None or not many else style(cell.owner).terminal))
        if row in ends:
            spans += [(" ", ""), (style(ends[row]).letter, style(ends[row]).terminal)]
        yield _trimmed(spans)
    yield [(" " * left + ("└" + "─" * room if braille else "+" + "-" * room), "")]
    yield from ([(line, "")] for line in _x_axis(panel, left + 1, room, first, last))
    yield from _legend(panel, marks, width, many)


def _scaled(
    panel: Panel, mark: Mark, first: float, last: float, low: float, high: float
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Line and dots of a mark as shares of the axes."""

    def across(x: Array) -> Array:
        if panel.log_x:
            return np.asarray((np.log(x) - np.log(first)) / (np.log(last) - np.log(first)))
        return np.asarray((x - first) / (last - first))

    (x, y), (dot_x, dot_y) = mark.line, mark.dots
    return (across(x), (y - low) / (high - low)), (across(dot_x), (dot_y - low) / (high - low))


def _letters(canvas: Canvas, drawn: Sequence[tuple[Mark, tuple[Array, Array], tuple[Array, Array]]]) -> None:
    """Writes letters on lines, those of different lines at different positions; on dots all over."""
    for rank, (mark, (x, y), dots) in enumerate(drawn):
        letter = style(mark.place).letter
        if len(x):
            for number in range(LETTERS):
                share = (number + (rank + 0.5) / len(drawn)) / LETTERS
                place = float(x[0] + share * (x[-1] - x[0]))
                canvas.letter(place, float(np.interp(place, x, y)), letter, mark.place)
        else:
            for one, other in zip(*dots, strict=True):
                canvas.letter(float(one), float(other), letter, mark.place)


def _ends(drawn: Sequence[tuple[Mark, tuple[Array, Array], tuple[Array, Array]]]) -> dict[int, int]:
    """Row of the letter at each line's end, by row, with the mark's place."""
    ending = [(mark.place, float(line[1][-1])) for mark, line, _ in drawn if len(line[0])]
    wanted = [(1 - height) * (HEIGHT - 1) for _, height in ending]
    found = spread(wanted, 1.0, 0.0, HEIGHT - 1.0)
    return {round(row): place for (place, _), row in zip(ending, found, strict=True)}


def _row(value: float, low: float, high: float) -> int:
    return round((1 - (value - low) / (high - low)) * (HEIGHT - 1))


def _x_axis(panel: Panel, left: int, room: int, first: float, last: float) -> list[str]:
    """Ticks and the label of the x axis, on one line where there is room."""
    text = [" "] * (left + room)
    most = max(2, room // 14)
    places = (log_ticks if panel.log_x else ticks)(first, last, most)
    free = 0
    for tick, name in zip(places, labels(places), strict=True):
        share = (tick - first) / (last - first)
        if panel.log_x:
            share = float((np.log(tick) - np.log(first)) / (np.log(last) - np.log(first)))
        start = max(0, min(left + round(share * (room - 1)) - len(name) // 2, left + room - len(name)))
        if start >= free:
            text[start : start + len(name)] = name
            free = start + len(name) + 1
    line = "".join(text).rstrip()
    label = visible(panel.x_label).replace("\n", " ")
    gaps = [(at, len(gap)) for at, gap in _gaps(line, left + room) if len(gap) >= len(label) + 4]
    if not gaps:
        return [line, _cut(label, left + room).center(left + room).rstrip()]
    at, size = max(gaps, key=lambda gap: (gap[1], gap[0]))
    start = at + (size - len(label)) // 2
    whole = line.ljust(left + room)
    return [(whole[:start] + label + whole[start + len(label) :]).rstrip()]


def _gaps(line: str, width: int) -> Iterator[tuple[int, str]]:
    """Runs of spaces behind the first tick, with where they begin."""
    padded = line.ljust(width)
    start = None
    for place, character in enumerate(padded + "|"):
        if character == " ":
            start = place if start is None else start
        elif start is not None:
            if start > 0:
                yield start, padded[start:place]
            start = None


def _legend(panel: Panel, marks: Sequence[Mark], width: int, many: bool) -> Iterator[Line]:
    """One line per group: letter, label, last value with its interval, number of runs."""
    for mark in marks:
        parts = []
        if len(mark.line[0]) and not len(mark.dots[0]):
            parts.append(figure(mark.last[1]))
            if mark.band is not None:
                parts.append(f"[{figure(float(mark.band[0][-1]))}, {figure(float(mark.band[1][-1]))}]")
        parts.append(counted(mark.runs, "run"))
        end = "  " + " ".join(parts)
        start = f"{style(mark.place).letter} " if many else ""
        label = _cut(mark.label, max(8, width - len(start) - len(end)))
        yield [(start, style(mark.place).terminal if many else ""), (label, ""), (end, "")]
    for level in panel.shown_levels():
        yield [(_cut(f"· {level.label}: {short(level.value)}", width), "")]


def _bars(panel: Bars, width: int, braille: bool) -> Iterator[Line]:
    yield [(_cut(panel.title, width), "bold")]
    names = [_cut(name, width // 2) for name, _ in panel.bars]
    longest = max(map(len, names))
    room = max(1, width - longest - 8)
    for name, (_, value) in zip(names, panel.bars, strict=True):
        full = round(value * room)
        yield [
            (f"{name.ljust(longest)}  ", ""),
            (("█" if braille else "#") * full, "blue"),
            (f" {value:.2f}", ""),
        ]
    yield from ([(text, "")] for text in _wrapped(panel.note, width))


def _trimmed(spans: Line) -> Line:
    while spans and not spans[-1][0].strip():
        spans.pop()
    return spans


def _cut(text: str, width: int) -> str:
    flat = visible(text).replace("\n", " ")
    return flat if len(flat) <= width else flat[: max(0, width - 3)] + "..."


def _wrapped(text: str, width: int) -> list[str]:
    import textwrap

    return textwrap.wrap(text, width)
