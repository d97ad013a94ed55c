"""Rules that say which figures of an update need attention; one table for all that shows alerts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rlcli.loggers.progress import duration, figure


@dataclass(frozen=True)
class Rule:
    """A limit of a metric."""

    metric: str
    limit: float
    above: bool
    """Whether values above the limit break it; else those below."""
    text: str
    """What it means; `{}` is the value."""
    level: str
    """The limit's label in a plot; empty: it is not drawn."""

    def broken(self, value: float) -> bool:
        """Whether a value breaks it."""
        return value > self.limit if self.above else value < self.limit

    def severity(self, value: float) -> float:
        """How far beyond the limit a value is, as a factor of at least 1."""
        if not self.broken(value):
            return 0.0
        one, other = (value, self.limit) if self.above else (self.limit, value)
        return one / other if other > 0 else 1.0 + abs(one - other)


RULES = (
    Rule("behaviour/ess", 0.5, False, "ESS {}: few samples decide the update", "alert"),
    Rule("update/budget_used", 3.0, True, "KL {} x its budget", "alert"),
    Rule("behaviour/clip_fraction", 0.5, True, "clip fraction {}: most ratios left 1 ± 0.2", "alert"),
    Rule("update/step_outcome", 1.0, True, "the natural step failed (outcome {})", ""),
)
"""The rules, those to look at first before the others."""

LEVELS = {rule.metric: (rule.limit, rule.level) for rule in RULES if rule.level}
"""Lines in plots: limit and label by metric."""


@dataclass(frozen=True)
class Alert:
    """A broken rule."""

    text: str
    severity: float


def alerts(row: Mapping[str, float]) -> list[Alert]:
    """The rules that a row breaks, in their order; metrics that it lacks break none."""
    found = []
    for rule in RULES:
        value = row.get(rule.metric)
        if value is not None and rule.broken(value):
            found.append(Alert(rule.text.format(figure(value)), rule.severity(value)))
    return found


SILENT, SILENT_UPDATES = 60.0, 20.0
"""Seconds, and updates' time, without a row from which on a run that trains is called silent."""


def silence(seconds: float | None, update_seconds: float | None) -> Alert | None:
    """The alert of a run that trains, but has written no row for `seconds`."""
    limit = max(SILENT, SILENT_UPDATES * (update_seconds or 0.0))
    if seconds is None or seconds <= limit:
        return None
    return Alert(f"no row for {duration(seconds)}", seconds / limit)
