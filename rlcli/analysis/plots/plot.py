"""What a plot shows, as data: panels with lines, dots, levels or bars. Pictures and text draw the same."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from rlcli.analysis.history import Array
from rlcli.analysis.plots.axes import bounds

OTHERS = -1
"""Place of a line beyond those that styles tell apart: it is drawn thin and grey, without a label."""
Points = tuple[Array, Array]
"""Positions and values, arrays of equal length."""


def nothing() -> Points:
    """No points."""
    return np.empty(0), np.empty(0)


@dataclass(frozen=True)
class Mark:
    """What is drawn of one group of runs."""

    label: str
    place: int
    """Its number among all groups of the plot, which decides its style; or `OTHERS`."""
    runs: int
    line: Points = field(default_factory=nothing)
    """The interquartile mean over its runs."""
    band: Points | None = None
    """Lower and upper bound of the 95% interval at the line's positions; None of a lone run."""
    singles: tuple[Points, ...] = ()
    """The runs one by one, thin beneath the line."""
    dots: Points = field(default_factory=nothing)
    """One dot per run."""

    @property
    def last(self) -> tuple[float, float]:
        """Where its line ends."""
        return float(self.line[0][-1]), float(self.line[1][-1])


@dataclass(frozen=True)
class Level:
    """A value to compare with: a horizontal line."""

    value: float
    label: str
    needed: bool = True
    """Whether it is shown wherever the values are; else only close to them."""


@dataclass(frozen=True)
class Panel:
    """One pair of axes."""

    title: str
    x_label: str
    y_label: str
    marks: tuple[Mark, ...]
    levels: tuple[Level, ...] = ()
    log_x: bool = False
    metric: str = ""
    where: str = ""
    """The environment, or the setting of a slice."""

    def shown_levels(self) -> list[Level]:
        """Levels that are needed, or within the range of the lines and a quarter beyond."""
        low, high = self.range(levels=False)
        beyond = 0.25 * (high - low)
        return [one for one in self.levels if one.needed or low - beyond <= one.value <= high + beyond]

    def range(self, *, levels: bool = True) -> tuple[float, float]:
        """Lowest and highest value that is drawn; bands reach at most the lines' own range beyond it."""
        drawn = [
            y for mark in self.marks for y in (mark.line[1], mark.dots[1], *(y for _, y in mark.singles))
        ]
        low, high = bounds(drawn, margin=0.0)
        drawn += [np.clip(y, 2 * low - high, 2 * high - low) for mark in self.marks for y in mark.band or ()]
        if levels:
            drawn.append(np.array([one.value for one in self.shown_levels()]))
        return bounds(drawn)

    def x_range(self) -> tuple[float, float]:
        """First and last position; curves begin at 0."""
        drawn = [x for mark in self.marks for x in (mark.line[0], mark.dots[0])]
        low, high = bounds(drawn, margin=0.0)
        dotted = any(len(mark.dots[0]) for mark in self.marks)
        if self.log_x:
            return low / 1.15, high * 1.15
        return (low - 0.05 * (high - low), high + 0.05 * (high - low)) if dotted else (min(0.0, low), high)


@dataclass(frozen=True)
class Bars:
    """Bars from 0 to 1, the longest first."""

    title: str
    bars: tuple[tuple[str, float], ...]
    note: str
    """How they are measured."""


@dataclass(frozen=True)
class Plot:
    """Panels that belong together."""

    panels: tuple[Panel | Bars, ...]
    caption: str
    """What lines and bands are, in a sentence."""
    columns: int = 1
    """Panels side by side in a picture."""
    notes: tuple[str, ...] = ()
    """What is left out, and how to see it."""

    @property
    def labels(self) -> list[tuple[int, str]]:
        """Place and label of each group that has a style, in order."""
        found = {mark.place: mark.label for panel in self.panels if isinstance(panel, Panel)
                 for mark in panel.marks if mark.place != OTHERS}  # fmt: skip
        return sorted(found.items())
