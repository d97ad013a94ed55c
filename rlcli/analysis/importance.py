"""Importance of settings: how strongly the result of runs goes with each setting that differs.

Of a numeric setting the rank correlation (Spearman 1904), with its sign. Of a choice the correlation ratio of
ranks, √(between-group sum of squares / total sum of squares) in [0, 1]: Kruskal and Wallis's H over n - 1,
as a root. Neither sees an effect that depends on other settings.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy.stats

from rlcli.config.values import display

FEWEST = 4
"""Runs below which no correlation is computed."""


@dataclass(frozen=True)
class Importance:
    """The importance of one setting."""

    key: str
    kind: Literal["number", "choice"]
    runs: int
    """Runs that have the setting and a result."""
    strength: float | None
    """Rank correlation in [-1, 1] of a number, correlation ratio in [0, 1] of a choice; None if undefined."""
    optuna: float | None = None
    """Share of the variance by Optuna's PED-ANOVA, where it is installed and every run has the setting."""


def importances(
    settings: Sequence[Mapping[str, Any]], results: Sequence[float | None], keys: Sequence[str]
) -> list[Importance]:
    """The importance of each key, the strongest first. `settings` and `results` have one entry per run."""
    pairs = [(flat, value) for flat, value in zip(settings, results, strict=True) if value is not None]
    shares = _optuna([flat for flat, _ in pairs], [value for _, value in pairs], keys)
    found = []
    for key in keys:
        known = [(flat[key], value) for flat, value in pairs if flat.get(key) is not None]
        values, outcomes = [value for value, _ in known], [outcome for _, outcome in known]
        kind: Literal["number", "choice"] = "number" if all(map(is_number, values)) else "choice"
        strength = _strength(kind, values, outcomes) if len(known) >= FEWEST else None
        found.append(Importance(key, kind, len(known), strength, shares.get(key)))
    return sorted(found, key=lambda one: -abs(one.strength or 0.0))


def is_number(value: Any) -> bool:
    """Whether a setting is a finite number; true and false are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _strength(kind: str, values: Sequence[Any], outcomes: Sequence[float]) -> float | None:
    """None where all settings or all results are equal."""
    if len(set(outcomes)) < 2 or len(set(map(display, values))) < 2:
        return None
    if kind == "number":
        return float(scipy.stats.spearmanr(values, outcomes).statistic)
    return correlation_ratio([display(value) for value in values], outcomes)


def correlation_ratio(labels: Sequence[str], outcomes: Sequence[float]) -> float:
    """√(Σ_g n_g (r̄_g - r̄)² / Σ_i (r_i - r̄)²) over ranks r, g the label of a run."""
    ranks = scipy.stats.rankdata(outcomes)
    groups = [ranks[[label == one for label in labels]] for one in dict.fromkeys(labels)]
    between = sum(len(group) * (group.mean() - ranks.mean()) ** 2 for group in groups)
    return float(np.sqrt(between / ((ranks - ranks.mean()) ** 2).sum()))


def _optuna(
    settings: Sequence[Mapping[str, Any]], results: Sequence[float], keys: Sequence[str]
) -> dict[str, float]:
    """Optuna's shares by key; empty where it is not installed."""
    complete = [key for key in keys if all(flat.get(key) is not None for flat in settings)]
    if len(results) < FEWEST or not complete or len(set(results)) < 2:
        return {}
    try:
        from rlcli.sweeps.search.importance import shares
    except ImportError:
        return {}
    return shares(
        [{key: v if is_number(v := flat[key]) else display(v) for key in complete} for flat in settings],
        results,
    )
