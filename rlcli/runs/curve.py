"""A line chart as inline SVG, for a notebook: axes with their ends, and up to a few lines in order."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import NamedTuple

from rlcli.loggers.progress import figure
from rlcli.text import visible

WIDTH, HEIGHT = 480, 160
LEFT, RIGHT, TOP, BOTTOM = 64, 12, 10, 32
"""Margins, with the numbers of the axes."""
POINTS = 240
"""Points drawn of a line, at most."""
LINES = 12
"""Lines drawn, at most."""
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f")
"""Told apart with colour blindness too (Okabe and Ito 2008)."""


class Line(NamedTuple):
    """A line of the chart."""

    title: str
    points: list[tuple[float, float]]


def svg(lines: Sequence[Line], x: str, y: str) -> str:
    """The chart; empty without a line."""
    shown = [line for line in lines if line.points][:LINES]
    if not shown:
        return ""
    every = [point for line in shown for point in line.points]
    (left, right), (low, high) = _range([one for one, _ in every]), _range([one for _, one in every])

    def placed(point: tuple[float, float]) -> str:
        across = LEFT + (point[0] - left) / (right - left) * (WIDTH - LEFT - RIGHT)
        down = HEIGHT - BOTTOM - (point[1] - low) / (high - low) * (HEIGHT - TOP - BOTTOM)
        return f"{across:.1f},{down:.1f}"

    parts = [
        f'<path d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}" fill="none" stroke="currentColor" '
        'stroke-opacity="0.4"/>',
        _text(LEFT - 6, TOP + 4, "end", figure(high)),
        _text(LEFT - 6, HEIGHT - BOTTOM + 4, "end", figure(low)),
        _text(LEFT, HEIGHT - BOTTOM + 16, "start", f"{left:,.0f}"),
        _text(WIDTH - RIGHT, HEIGHT - BOTTOM + 16, "end", f"{right:,.0f}"),
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - BOTTOM + 16, "middle", x),
    ]
    for number, line in enumerate(shown):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(map(placed, _thinned(line.points)))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
    legend = " &#160; ".join(
        f'<span style="color:{COLOURS[number % len(COLOURS)]}">&#9644;</span> {_escaped(line.title)}'
        for number, line in enumerate(shown)
    )
    drawing = (
        f'<svg width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="{_escaped(y)}">{"".join(parts)}</svg>'
    )
    return f"<div>{_escaped(y)}: {legend}</div>{drawing}"


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most `POINTS` of them, evenly, with the last."""
    step = -(-len(points) // POINTS)
    return [*points[: len(points) - 1 : step], points[-1]]


def _text(x: float, y: float, anchor: str, content: str) -> str:
    place = f'x="{x:g}" y="{y:g}" text-anchor="{anchor}"'
    return f'<text {place} font-size="11" fill="currentColor">{_escaped(content)}</text>'


def _escaped(content: str) -> str:
    return html.escape(visible(content))
