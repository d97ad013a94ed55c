"""How the results of runs go with one setting: rank correlation, and its counterpart for choices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.stats

from rlcli.config.values import display

FEWEST = 4
"""Runs below which none is computed."""


def is_number(value: Any) -> bool:
    """Whether a setting is a finite number; true and false are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def strength(values: Sequence[Any], outcomes: Sequence[float]) -> float | None:
    """Of numbers Spearman's rank correlation in [-1, 1] (1904), of choices `correlation_ratio`.

    None of fewer than four runs, and where all settings or all results are equal.
    """
    if len(outcomes) < FEWEST or len(set(outcomes)) < 2 or len(set(map(display, values))) < 2:
        return None
    if all(map(is_number, values)):
        return float(scipy.stats.spearmanr(values, outcomes).statistic)
    return correlation_ratio([display(value) for value in values], outcomes)


def correlation_ratio(labels: Sequence[str], outcomes: Sequence[float]) -> float:
    """√(Σ_g n_g (r̄_g - r̄)² / Σ_i (r_i - r̄)²) in [0, 1], r the ranks of results, g the label of a run.

    Its square is Kruskal and Wallis's H / (n - 1) (1952).
    """
    ranks = scipy.stats.rankdata(outcomes)
    groups = [ranks[np.array([label == one for label in labels])] for one in dict.fromkeys(labels)]
    between = sum(len(group) * (group.mean() - ranks.mean()) ** 2 for group in groups)
    return float(np.sqrt(between / ((ranks - ranks.mean()) ** 2).sum()))
