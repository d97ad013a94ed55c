"""Scores of one run."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rlcli.analysis.compare.scores import area, scores, stretch
from rlcli.analysis.history import History


def history(steps: list[float], values: list[float], seconds: list[float] | None = None) -> History:
    return History(
        {
            "update": np.arange(1.0, len(steps) + 1),
            "env_steps": np.array(steps),
            "time/elapsed": np.array(seconds or [step / 10 for step in steps]),
            "a": np.array(values),
        },
        0,
    )


RUN = history([10, 20, 30, 40], [0, 8, math.nan, 4])


def test_final_and_best_values() -> None:
    found = scores(RUN, "a", (10, 40))
    assert (found.final, found.best) == (4, 8)
    assert math.isnan(found.steps), "without a threshold"


@pytest.mark.broken_by(
    "the best is the highest",
    "analysis/compare/scores.py",
    "float(sign * (sign * y).max())",
    "float(y.max())",
)
@pytest.mark.broken_by(
    "a threshold is reached from below",
    "analysis/compare/scores.py",
    "np.flatnonzero(sign * y >= sign * threshold)",
    "np.flatnonzero(y >= threshold)",
)
def test_lower_values_may_be_better() -> None:
    found = scores(RUN, "a", (10, 40), 3.0, lower_is_better=True)
    assert found.best == 0
    assert found.steps == 10
    assert scores(RUN, "a", (10, 40), -1.0, lower_is_better=True).steps == math.inf


@pytest.mark.broken_by(
    "the area of the values alone",
    "analysis/compare/scores.py",
    "np.trapezoid(np.interp(positions, x, y), positions) / (end - start)",
    "y.mean()",
)
@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (10, 40, (4 * 10 + 6 * 20) / 30),
        (20, 30, 7),
        (15, 20, 6),
        (10, 80, (4 * 10 + 6 * 20 + 4 * 40) / 70),  # behind its end, the last value
    ],
)
def test_the_area_is_the_mean_of_the_curve(start: float, end: float, expected: float) -> None:
    assert scores(RUN, "a", (start, end)).area == pytest.approx(expected)


def test_an_area_of_nothing_is_none() -> None:
    assert math.isnan(area(np.array([1.0, 2]), np.array([1.0, 2]), 2, 2))


@pytest.mark.broken_by(
    "the last row that reaches it", "analysis/compare/scores.py", "x[reached[0]]", "x[reached[-1]]"
)
def test_a_threshold_is_reached_at_the_first_value() -> None:
    found = scores(RUN, "a", (10, 40), 4.0)
    assert (found.steps, found.seconds) == (20, 2)
    never = scores(RUN, "a", (10, 40), 9.0)
    assert (never.steps, never.seconds) == (math.inf, math.inf)


def test_seconds_of_a_resumed_run_go_on() -> None:
    found = scores(history([10, 20, 30], [0, 1, 5], [3, 1, 2]), "a", (10, 30), 5.0)
    assert found.seconds == 5


def test_a_run_with_a_single_value_has_no_way_there() -> None:
    found = scores(history([10, 20], [math.nan, 7]), "a", (10, 20), 1.0)
    assert found.final == 7
    assert all(map(math.isnan, (found.best, found.area, found.steps, found.seconds)))


def test_a_run_without_the_metric_has_no_scores() -> None:
    assert math.isnan(scores(RUN, "b", (10, 40)).final)


@pytest.mark.broken_by(
    "areas from the first value of any run",
    "analysis/compare/scores.py",
    "return max(first, default",
    "return min(first, default",
)
def test_areas_are_compared_from_where_all_runs_have_values() -> None:
    assert stretch([RUN, history([15, 25], [1, 1]), history([30], [1])], "a", 40) == (15, 40)
    assert stretch([], "a", 40) == (40, 40)
