"""What a plot shows, as data: panels with lines, dots, levels or bars. Pictures and text draw the same."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from rlcli.analysis.history import Array

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
