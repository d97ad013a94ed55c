"""Alerts of whole runs: each rule at its limit, drops of the entropy, and what an alert says."""

from __future__ import annotations

import numpy as np
import pytest

from rlcli.analysis.history import History
from rlcli.analysis.report.alerts import alerts, described, dropped, named
from rlcli.config.alerts import DEFAULT_RULES, rules


def history(**columns: list[float]) -> History:
    length = len(next(iter(columns.values())))
    updates = np.arange(1.0, length + 1)
    position = {"update": updates, "env_steps": 10 * updates, "time/elapsed": 0.5 * updates}
    return History(position | {name: np.array(values) for name, values in columns.items()}, 0)


@pytest.mark.parametrize(
    ("metric", "fine", "bad", "name"),
    [
        ("behaviour/ess", 0.5, 0.49, "low ESS"),
        ("behaviour/khat", 0.7, 0.71, "heavy tail"),
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
    assert named(alert.rule) == name
    assert alert.updates.tolist() == [2]
    assert alert.steps.tolist() == [20]
    assert alert.seconds.tolist() == [1.0]
    assert alert.values.tolist() == [bad]


@pytest.mark.broken_by(
    "a rise counts as a drop",
    "analysis/report/alerts.py",
    "highest - values, 0.0",
    "values - highest, 0.0",
)
def test_a_drop_is_measured_from_the_highest_of_the_ten_updates_before() -> None:
    assert dropped(np.array([0.69, 0.69, 0.1, 0.69])).tolist() == pytest.approx([0.0, 0.0, 0.59, 0.0])
    assert (dropped(np.linspace(0.69, 0.1, 40)) < 0.5).all()
    late = np.concatenate([[0.69], np.full(9, 0.5), np.full(2, 0.1)])
    assert np.flatnonzero(dropped(late) > 0.5).tolist() == [10]
    assert dropped(np.array([0.1])).tolist() == [0.0]


def test_a_drop_is_per_dimension_of_the_action() -> None:
    rows = history(**{"update/entropy": [3.0, 2.9, 2.1]})
    assert [named(one.rule) for one in alerts(rows)] == ["entropy drop"]
    assert alerts(rows, dimensions=2) == []


@pytest.mark.broken_by(
    "a series one update too short", "analysis/report/alerts.py",
    "last_sound >= rule.updates", "last_sound >= rule.updates - 1",
)  # fmt: skip
def test_a_rule_holds_from_its_nth_update_in_a_row_on() -> None:
    (alert,) = alerts(history(**{"update/beta": [1e4] * 49 + [1.0] + [1e4] * 52}))
    assert alert.updates.tolist() == [100, 101, 102]


def test_runs_with_other_limits_have_lines_of_their_own() -> None:
    usual, own = DEFAULT_RULES, rules({"alerts.ess.limit": 0.3})
    names = [one["name"] for one in described([usual, own, usual])]
    assert len(set(names)) == len(names) == len(usual) + 1
    assert "low ESS (below 0.3)" in names
    drop = next(one for one in described([usual]) if one["name"] == "entropy drop")
    assert drop["limit"] is None


def test_the_worst_value_is_the_highest_or_lowest_as_the_rule_says() -> None:
    low, high = alerts(
        history(**{"behaviour/ess": [0.4, 0.1, 0.3], "behaviour/clip_fraction": [0.6, 0.9, 0.7]})
    )
    assert (low.values[low.worst], high.values[high.worst]) == (0.1, 0.9)


def test_missing_values_are_no_alerts() -> None:
    assert alerts(history(**{"behaviour/ess": [np.nan, 1.0, np.nan]})) == []
    assert alerts(history(a=[1.0])) == []
