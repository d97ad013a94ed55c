"""Scores of one run: final and best value, area under the curve, steps and seconds to a threshold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rlcli.analysis.history import Array, History

NAMES = ("final", "best", "area", "steps", "seconds")
"""Scores of a run, as they are named on the command line and in files."""
LATER_IS_WORSE = ("steps", "seconds")
"""Scores of which the lower one is better, whichever metric they are of."""


@dataclass(frozen=True)
class Scores:
    """Scores of one run; NaN where it has none."""

    final: float
    """The last value of the metric."""
    best: float
    """The best value; NaN of a run with a single value, which shows nothing but its end."""
    area: float
    """The area under the curve over env steps, divided by their number: the mean value on the way."""
    steps: float
    """Env steps at the first value that reaches the threshold; infinite if none does, NaN without one."""
    seconds: float
    """Seconds of training up to there."""


def scores(
    history: History,
    metric: str,
    stretch: tuple[float, float],
    threshold: float | None = None,
    *,
    lower_is_better: bool = False,
) -> Scores:
    """The scores of a run.

    `stretch` are the env steps between which areas are compared. Values behind its end count for the final
    value of a run whose last update passes the budget, and for the area by the line that leads to them.
    """
    x, y = history.points(metric)
    if not len(y):
        return Scores(*(math.nan,) * len(NAMES))
    sign = -1 if lower_is_better else 1
    single = len(y) == 1
    steps = seconds = math.nan
    if threshold is not None and not single:
        reached = np.flatnonzero(sign * y >= sign * threshold)
        steps = float(x[reached[0]]) if len(reached) else math.inf
        seconds = _seconds_at(history, steps)
    return Scores(
        final=float(y[-1]),
        best=math.nan if single else float(sign * (sign * y).max()),
        area=math.nan if single else area(x, y, *stretch),
        steps=steps,
        seconds=seconds,
    )


def area(x: Array, y: Array, start: float, end: float) -> float:
    """The mean of a curve between two positions: its area by the trapezoidal rule over their distance.

    Between two values the line that connects them counts; before the first and behind the last, that value,
    as of a run that was stopped early. NaN where the positions leave nothing between them.
    """
    if not end > start:
        return math.nan
    inside = x[(x > start) & (x < end)]
    positions = np.concatenate([[start], inside, [end]])
    return float(np.trapezoid(np.interp(positions, x, y), positions) / (end - start))


def stretch(histories: Sequence[History], metric: str, budget: float) -> tuple[float, float]:
    """The env steps over which areas are compared: from where all runs have values, to the budget."""
    first = [x[0] for history in histories if len(x := history.points(metric)[0]) > 1]
    return max(first, default=budget), budget


def _seconds_at(history: History, steps: float) -> float:
    """Seconds of training at a row; NaN where the row has none."""
    if math.isinf(steps):
        return math.inf
    return float(history.axis("seconds")[np.flatnonzero(history.axis("steps") == steps)[0]])
