"""Importance of settings for a result: how much of its variation over runs each of them explains."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rlcli.analysis.history import Array
from rlcli.config.values import display

LEVELS = 6
"""Values of a number from which on they are put into as many classes of equal size."""
SAMPLED = 8
"""Different values of a number from which on a sampler chose them, not a grid."""
TRIALS = 100
"""Runs from which on Optuna's measure is meaningful: it looks at the best tenth of them."""
VARIANCE = "share of variance explained by each setting alone (epsilon squared)"
PED_ANOVA = "PED-ANOVA of Optuna, normalised"


def importance(
    settings: Mapping[str, Sequence[Any]], values: Array, higher: bool
) -> tuple[dict[str, float], str]:
    """Importance of each setting, the largest first, and the name of the measure.

    Of a search by a sampler it is Optuna's PED-ANOVA where Optuna is installed (Watanabe et al. 2023): how
    much the distribution of a setting among the best runs differs from that among all. Else, and of grids, it
    is `explained`.
    """
    varied = {key: column for key, column in settings.items() if len(set(map(display, column))) > 1}
    sampled = any(_is_number(column) and len(set(column)) > SAMPLED for column in varied.values())
    found, measure = None, VARIANCE
    if sampled and len(values) >= TRIALS:
        from rlcli.sweeps.search.importance import ped_anova

        found, measure = ped_anova(varied, values, higher), PED_ANOVA
    if found is None:
        found, measure = {key: explained(column, values) for key, column in varied.items()}, VARIANCE
    return dict(sorted(found.items(), key=lambda item: -item[1])), measure


def explained(column: Sequence[Any], values: Array) -> float:
    """Share of the variance of results that one setting explains alone: epsilon squared, 0 to 1.

    ε² = (SS_between - (k - 1) SS_within / (n - k)) / SS_total over the k values of the setting in n runs,
    which is 0 in expectation where the setting has no effect (Kelley 1935); negative values are 0. Numbers
    with many values are put into six classes of equal size. What no setting explains is seeds and
    interactions.
    """
    classes = _classes(column)
    count, number = len(values), len(set(classes))
    total = float(((values - values.mean()) ** 2).sum())
    if number < 2 or count <= number or total == 0.0:
        return 0.0
    within = sum(
        float(((members - members.mean()) ** 2).sum())
        for name in set(classes)
        for members in [values[np.array([one == name for one in classes])]]
    )
    between = total - within
    return min(1.0, max(0.0, (between - (number - 1) * within / (count - number)) / total))


def _classes(column: Sequence[Any]) -> list[Any]:
    if not _is_number(column) or len(set(column)) <= LEVELS:
        return [display(value) for value in column]
    edges = np.quantile(np.array(column, np.float64), np.linspace(0, 1, LEVELS + 1)[1:-1])
    return [int(np.searchsorted(edges, value, side="right")) for value in column]


def _is_number(column: Sequence[Any]) -> bool:
    return all(
        isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        for value in column
    )
