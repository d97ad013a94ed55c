"""Alerts of a whole run: the limits of `analysis/alerts.py` and two rules more, over all its updates.

They point to updates that deserve a look; an alert is no proof of a fault.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from rlcli.analysis import alerts as limits
from rlcli.analysis.history import Array, History

WINDOW = 10
"""Updates within which a drop of the entropy is looked for."""
DROP = 0.5
"""Nats."""
NAMES = {
    "behaviour/ess": "low ESS",
    "update/budget_used": "KL over budget",
    "behaviour/clip_fraction": "high clip fraction",
    "update/step_outcome": "natural step failed",
    "update/explained_variance": "critic fails",
}
LIMITS = (
    *limits.RULES,
    limits.Rule("update/explained_variance", -1.0, False, "explained variance {}: the critic fails", ""),
)


@dataclass(frozen=True)
class Rule:
    """One rule: the values of a metric that are an alert."""

    name: str
    metric: str
    text: str
    """The rule as a sentence without its subject: `below 0.5`."""
    hits: Callable[[Array], Array]
    """Which values `[K]` of consecutive updates are alerts, as booleans."""
    above: bool
    """Whether the worst value is the highest."""
    limit: float | None
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
        return int(self.values.argmax() if self.rule.above else self.values.argmin())


def dropped(values: Array, by: float = DROP, within: int = WINDOW) -> Array:
    """Values `[K]` that are more than `by` below the highest of the `within` values before them."""
    highest = np.full(len(values), -np.inf)
    for back in range(1, min(within, len(values) - 1) + 1):
        highest[back:] = np.maximum(highest[back:], values[:-back])
    return np.asarray(values < highest - by)


def _beyond(rule: limits.Rule, values: Array) -> Array:
    return np.asarray(values > rule.limit if rule.above else values < rule.limit)


def _of(rule: limits.Rule) -> Rule:
    text = f"{'above' if rule.above else 'below'} {rule.limit:g}"
    name = NAMES.get(rule.metric, rule.metric)
    return Rule(name, rule.metric, text, partial(_beyond, rule), rule.above, rule.limit)


_DROP = f"more than {DROP:g} nats below one of the {WINDOW} updates before"
RULES = (*map(_of, LIMITS), Rule("entropy drop", "update/entropy", _DROP, dropped, above=False, limit=None))
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
            updates, steps, seconds = (history.axis(axis)[places] for axis in ("updates", "steps", "seconds"))
            found.append(Alert(rule, updates, steps, seconds, values[places]))
    return found
