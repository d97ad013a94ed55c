"""Alerts of a whole run: the rules of its own config, over all its updates.

They point to updates that deserve a look; an alert is no proof of a fault.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rlcli.analysis.history import Array, History
from rlcli.analysis.report.provenance import text
from rlcli.config.alerts import DEFAULT_RULES, WINDOW, Rule


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


def alerts(history: History, rules: Sequence[Rule] = DEFAULT_RULES, dimensions: int = 1) -> list[Alert]:
    """The alerts of a run, over all its rows; `dimensions` are those of its action."""
    found = []
    for rule in rules:
        values = history.columns.get(rule.metric)
        if values is None:
            continue
        there = np.isfinite(values)
        places = np.flatnonzero(there)[_hits(rule, values[there], dimensions)]
        if len(places):
            updates, steps, seconds = (history.axis(axis)[places] for axis in ("updates", "steps", "seconds"))
            found.append(Alert(rule, updates, steps, seconds, values[places]))
    return found


def described(rules: Sequence[Sequence[Rule]]) -> list[dict[str, Any]]:
    """The rules of several runs as a page shows them, each once; runs may have other limits."""
    every = dict.fromkeys(
        (text(named(one)), text(one.metric), one.words, _limit(one)) for each in rules for one in each
    )
    return [dict(zip(("name", "metric", "text", "limit"), one, strict=True)) for one in every]


def named(rule: Rule) -> str:
    """The name of a rule, with its limit where that is not the usual one."""
    usual = next((one for one in DEFAULT_RULES if one.name == rule.name), rule)
    return rule.facts.title if usual.words == rule.words else f"{rule.facts.title} ({rule.words})"


def dropped(values: Array, within: int = WINDOW) -> Array:
    """How far each value `[K]` is below the highest of the `within` values before it; 0 for the first."""
    highest = np.full(len(values), -np.inf)
    for back in range(1, min(within, len(values) - 1) + 1):
        highest[back:] = np.maximum(highest[back:], values[:-back])
    return np.where(np.isfinite(highest), highest - values, 0.0)


def _hits(rule: Rule, values: Array, dimensions: int) -> Array:
    """Which values `[K]` of consecutive updates are alerts, as booleans."""
    if rule.facts.side == "below":
        broken = values < rule.limit
    elif rule.facts.side == "above":
        broken = values > rule.limit
    else:
        broken = dropped(values) / (dimensions if rule.metric == "update/entropy" else 1) > rule.limit
    places = np.arange(len(broken))
    last_sound = np.maximum.accumulate(np.where(broken, -1, places))
    return np.asarray(places - last_sound >= rule.updates)


def _limit(rule: Rule) -> float | None:
    """The limit, where it is a value of the metric."""
    return None if rule.facts.side == "drop" else rule.limit
