"""Slices of a report: the result of each run against each setting that differs, and its importance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rlcli.analysis.importance import importance
from rlcli.analysis.report.correlation import is_number, strength
from rlcli.analysis.report.provenance import text
from rlcli.analysis.report.series import LEARNING
from rlcli.analysis.selection import Run
from rlcli.config.values import display

MOST = 12
"""Settings whose slices are drawn, those of the highest importance."""


def slices(
    indices: Sequence[int], runs: Sequence[Run], results: Sequence[Mapping[str, Any]], keys: Sequence[str]
) -> dict[str, Any] | None:
    """Slices of the runs of one environment; None where nothing differs, or no run has a result.

    `indices` are the numbers of its runs in `runs` and `results`; `keys` are the settings looked at.
    """
    metric = _result_metric([results[index] for index in indices])
    if metric is None:
        return None
    shown = [index for index in indices if results[index][metric] is not None]
    columns = {key: [runs[index].settings.get(key) for index in shown] for key in keys}
    columns = {key: column for key, column in columns.items() if len(set(map(display, column))) > 1}
    if not columns:
        return None
    outcomes = [float(results[index][metric]) for index in shown]
    shares, measure = importance(columns, np.array(outcomes), True)
    ranked = sorted(columns, key=lambda key: -shares.get(key, 0.0))
    return {
        "metric": metric,
        "measure": measure,
        "left_out": max(len(ranked) - MOST, 0),
        "settings": [
            {
                "key": text(key),
                "share": round(shares.get(key, 0.0), 3),
                **_slice(columns[key], outcomes, shown),
            }
            for key in ranked[:MOST]
        ],
    }


def _slice(column: Sequence[Any], outcomes: Sequence[float], shown: Sequence[int]) -> dict[str, Any]:
    there = [place for place, value in enumerate(column) if value is not None]
    values, found = [column[place] for place in there], [outcomes[place] for place in there]
    number = all(map(is_number, values))
    correlation = strength(values, found)
    return {
        "kind": "number" if number else "choice",
        "correlation": None if correlation is None else round(correlation, 3),
        "points": [
            [shown[place], value if number else text(display(value)), outcome]
            for place, value, outcome in zip(there, values, found, strict=True)
        ],
    }


def _result_metric(results: Sequence[Mapping[str, Any]]) -> str | None:
    """The return that most runs have, of evaluations where as many have both."""
    having = {name: sum(one[name] is not None for one in results) for name in LEARNING}
    best = max(LEARNING, key=lambda name: having[name])
    return best if having[best] else None
