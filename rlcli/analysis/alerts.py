"""Alerts: simple rules on the health of a run, each a metric, a limit and a sentence, in one table.

They point to updates that deserve a look; an alert is no proof of a fault.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rlcli.analysis.history import Array, History

WINDOW = 10
"""Updates within which a drop of the entropy is looked for."""


@dataclass(frozen=True)
class Rule:
    """One rule: the values of a metric that are an alert."""

    name: str
    metric: str
    text: str
    """The rule as a sentence without its subject: `below 0.5`."""
    hits: Callable[[Array], Array]
    """Which values `[K]` of consecutive updates are alerts, as booleans."""
    worst: Callable[[Array], np.intp]
    """Place of the worst of several values."""
    limit: float | None = None
    """The limit, where it is a value of the metric."""


@dataclass(frozen=True)
class Alert:
    """The updates of one run at which a rule holds."""

    rule: Rule
    updates: Array
    steps: Array
    seconds: Array
    values: Array
    """All arrays `[K]`, in order of the updates; K is at least 1."""

    @property
    def worst(self) -> int:
        """Place of the worst value."""
        return int(self.rule.worst(self.values))


def _above(limit: float) -> Callable[[Array], Array]:
    return lambda values: values > limit


def _below(limit: float) -> Callable[[Array], Array]:
    return lambda values: values < limit


def dropped(values: Array, by: float = 0.5, within: int = WINDOW) -> Array:
    """Values `[K]` that are more than `by` below the highest of the `within` values before them."""
    highest = np.full(len(values), -np.inf)
    for back in range(1, min(within, len(values) - 1) + 1):
        highest[back:] = np.maximum(highest[back:], values[:-back])
    return values < highest - by


RULES = (
    Rule("low ESS", "behaviour/ess", "below 0.5", _below(0.5), np.argmin, 0.5),
    Rule("KL over budget", "update/budget_used", "above 3 times the budget", _above(3.0), np.argmax, 3.0),
    Rule("high clip fraction", "behaviour/clip_fraction", "above 0.5", _above(0.5), np.argmax, 0.5),
    Rule(
        "entropy drop", "update/entropy", f"more than 0.5 nats below one of the {WINDOW} updates before",
        dropped, np.argmin,
    ),
    Rule("critic fails", "update/explained_variance", "below -1", _below(-1.0), np.argmin, -1.0),
)  # fmt: skip
"""All rules. Their limits are this project's choice, wide enough that healthy runs rarely reach them."""


def alerts(history: History) -> list[Alert]:
    """The alerts of a run, over all its rows."""
    found = []
    for rule in RULES:
        values = history.columns.get(rule.metric)
        if values is None:
            continue
        there = np.isfinite(values)
        places = np.flatnonzero(there)[rule.hits(values[there])]
        if len(places):
            axes = (history.axis(name)[places] for name in ("updates", "steps", "seconds"))
            found.append(Alert(rule, *axes, values[places]))
    return found
