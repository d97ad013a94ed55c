"""Verdict on each update: how far the policy moved from the data, by stated rules.

Shapes: K rows of a run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from rlcli.analysis.history import Array, History
from rlcli.config import alerts

VERDICTS = ("inside", "edge", "outside", "diverging")
"""In order of severity: within the region of trust; at its edge; beyond it; beyond it again and again."""
EDGE, OUTSIDE, DIVERGING = 1, 2, 3
IN_A_ROW = 3
"""Consecutive updates outside from which on a run diverges."""


@dataclass(frozen=True)
class Rule:
    """A limit of a metric, with the verdict on updates beyond it."""

    metric: str
    limit: float
    above: bool
    """Whether values above the limit are beyond it; else those below."""
    verdict: int
    source: str
    """Where the limit comes from."""

    def beyond(self, values: Array) -> npt.NDArray[np.bool_]:
        """Which of the values [K] are beyond the limit; missing ones are not."""
        with np.errstate(invalid="ignore"):
            return np.asarray(values > self.limit if self.above else values < self.limit)

    @property
    def text(self) -> str:
        """The rule in words: `behaviour/ess below 0.5`."""
        return f"{self.metric} {'above' if self.above else 'below'} {self.limit:g}"


PSIS = "Vehtari et al. 2024, section 3"
OWN = "rlcli: several times what tuned runs show"
SOURCES = {"ess": OWN, "khat": PSIS, "kl": OWN, "clip_fraction": OWN}
"""The alerts (`config/alerts.py`) whose limits put an update outside, with their sources."""
EDGES = (
    Rule("behaviour/ess", 0.8, False, EDGE, OWN),
    Rule("behaviour/khat", 0.5, True, EDGE, PSIS),
    Rule("update/budget_used", 1.0, True, EDGE, "the budget itself"),
    Rule("behaviour/clip_fraction", 0.3, True, EDGE, OWN),
)


def rules(settings: Mapping[str, Any]) -> tuple[Rule, ...]:
    """The rules for a run with these settings by dotted key, the severest first.

    `diverging`: outside at three updates in a row, or more.
    """
    limits = (one for one in alerts.rules(settings, off=True) if one.name in SOURCES)
    return (
        *(Rule(one.metric, one.limit, one.above, OUTSIDE, SOURCES[one.name]) for one in limits),
        *EDGES,
    )


RULES = rules({})
"""The rules of runs whose alerts have the usual limits."""


@dataclass(frozen=True)
class Verdicts:
    """The verdict on each row."""

    worst: npt.NDArray[np.int64]
    """[K], places in `VERDICTS`."""
    broken: tuple[tuple[Rule, ...], ...]
    """The rules of that severity that each row breaks."""

    def count(self, verdict: int) -> int:
        """Updates with a verdict."""
        return int((self.worst == verdict).sum())


def verdicts(history: History, settings: Mapping[str, Any] = MappingProxyType({})) -> Verdicts:
    """The verdict on each update of a run of these settings; a metric that its rows lack breaks no rule."""
    rows = len(history)
    worst = np.zeros(rows, np.int64)
    broken: list[list[Rule]] = [[] for _ in range(rows)]
    for rule in rules(settings):
        values = history.columns.get(rule.metric)
        if values is None:
            continue
        hits = rule.beyond(values)
        for place in np.flatnonzero(hits & (worst <= rule.verdict)):
            broken[place].append(rule)
        worst[hits] = np.maximum(worst[hits], rule.verdict)
    worst[_in_a_row(worst >= OUTSIDE)] = DIVERGING
    return Verdicts(worst, tuple(map(tuple, broken)))


def _in_a_row(outside: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The updates from the third of a series on."""
    found = outside.copy()
    for back in range(1, IN_A_ROW):
        found[back:] &= outside[:-back]
        found[:back] = False
    return found
