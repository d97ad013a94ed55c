"""Figures of the updates that an audit shows: of each update, and their median and worst over a run."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from rlcli.analysis.history import History

HIGHEST, LOWEST = 1, -1
WORST = {
    "behaviour/kl_mu_pi": HIGHEST, "behaviour/kl_pi_mu": HIGHEST,
    "behaviour/tv": HIGHEST, "behaviour/tv_sampled": HIGHEST, "behaviour/tv_bound": HIGHEST,
    "behaviour/ess": LOWEST, "behaviour/khat": HIGHEST,
    "behaviour/ratio_min": LOWEST, "behaviour/ratio_p01": LOWEST,
    "behaviour/ratio_p99": HIGHEST, "behaviour/ratio_max": HIGHEST,
    "behaviour/clip_fraction": HIGHEST, "behaviour/clip_fraction_own": HIGHEST,
    "behaviour/clip_active": HIGHEST,
    "update/gain_predicted": LOWEST, "update/gain_realised": LOWEST,
    "update/budget_used": HIGHEST, "update/step_accepted": LOWEST,
}  # fmt: skip
"""The figures of a summary, and which of their values is the worst."""
OUTCOME = "update/step_outcome"
OUTCOMES = (
    "taken", "zero gradient", "curvature not positive", "number not finite", "no candidate accepted",
)  # fmt: skip
"""How a natural step ended, by its code."""
FIGURES = (*WORST, "behaviour/ratio_p50", "update/kl_anchor_pi", "update/kl_pi_anchor", OUTCOME)
"""The figures of each update."""


class Summary(NamedTuple):
    """A figure over a run."""

    median: float
    worst: float
    update: int
    """The first update with the worst value."""


def summaries(history: History) -> dict[str, Summary]:
    """Median and worst of every figure that was recorded, by metric."""
    found = {}
    for metric, side in WORST.items():
        updates, values = history.points(metric, "updates")
        if len(values):
            place = int((side * values).argmax())
            found[metric] = Summary(float(np.median(values)), float(values[place]), int(updates[place]))
    return found


def step_outcomes(history: History) -> dict[str, int]:
    """How many natural steps ended in which way; empty where there are none."""
    _, codes = history.points(OUTCOME, "updates")
    counts = {name: int((codes == code).sum()) for code, name in enumerate(OUTCOMES)}
    return {name: count for name, count in counts.items() if count}


def of_updates(history: History) -> Iterator[dict[str, float | None]]:
    """The figures of each update; None where one was not recorded."""
    absent = np.full(len(history), np.nan)
    table = np.stack([history.columns.get(name, absent) for name in FIGURES], axis=1)
    for row in table.tolist():
        yield {
            name: value if math.isfinite(value) else None for name, value in zip(FIGURES, row, strict=True)
        }
