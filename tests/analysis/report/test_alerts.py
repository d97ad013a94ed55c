"""Alerts of whole runs: each rule at its limit, drops of the entropy, and what an alert says."""

from __future__ import annotations

import numpy as np
import pytest

from rlcli.analysis.history import History
from rlcli.analysis.report.alerts import RULES, alerts, dropped


def history(**columns: list[float]) -> History:
    length = len(next(iter(columns.values())))
    updates = np.arange(1.0, length + 1)
    position = {"update": updates, "env_steps": 10 * updates, "time/elapsed": 0.5 * updates}
    return History(position | {name: np.array(values) for name, values in columns.items()}, 0)


@pytest.mark.parametrize(
    ("metric", "fine", "bad", "name"),
    [
        ("behaviour/ess", 0.5, 0.49, "low ESS"),
        ("update/budget_used", 3.0, 3.01, "KL over budget"),
        ("behaviour/clip_fraction", 0.5, 0.51, "high clip fraction"),
        ("update/explained_variance", -1.0, -1.01, "critic fails"),
        ("update/step_outcome", 1.0, 4.0, "natural step failed"),
    ],
)
def test_values_beyond_a_limit_are_alerts_and_the_limit_itself_is_none(
    metric: str, fine: float, bad: float, name: str
) -> None:
    (alert,) = alerts(history(**{metric: [fine, bad, fine]}))
    assert alert.rule.name == name
    assert alert.updates.tolist() == [2]
    assert alert.steps.tolist() == [20]
    assert alert.seconds.tolist() == [1.0]
    assert alert.values.tolist() == [bad]


@pytest.mark.broken_by(
    "a rise counts as a drop",
    "analysis/report/alerts.py",
    "values < highest - by",
    "values > highest + by",
)
def test_a_drop_is_held_against_the_highest_of_the_ten_updates_before() -> None:
    fast = np.array([0.69, 0.69, 0.1, 0.69])
    assert dropped(fast).tolist() == [False, False, True, False]
    slow = np.linspace(0.69, 0.1, 40)
    assert not dropped(slow).any()
    late = np.concatenate([[0.69], np.full(9, 0.5), np.full(2, 0.1)])
    assert np.flatnonzero(dropped(late)).tolist() == [10]
    assert not dropped(np.array([0.1])).any()


def test_the_worst_value_is_the_highest_or_lowest_as_the_rule_says() -> None:
    low, high = alerts(
        history(**{"behaviour/ess": [0.4, 0.1, 0.3], "behaviour/clip_fraction": [0.6, 0.9, 0.7]})
    )
    assert (low.values[low.worst], high.values[high.worst]) == (0.1, 0.9)


def test_missing_values_are_no_alerts() -> None:
    assert alerts(history(**{"behaviour/ess": [np.nan, 1.0, np.nan]})) == []
    assert alerts(history(a=[1.0])) == []


def test_rules_have_names_of_their_own() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)
