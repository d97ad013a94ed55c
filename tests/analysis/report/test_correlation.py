"""Rank correlation of numbers and the correlation ratio of choices, against scipy and closed forms."""

from __future__ import annotations

import random

import pytest
import scipy.stats

from rlcli.analysis.report.correlation import correlation_ratio, strength


def test_numbers_have_the_sign_of_their_effect() -> None:
    assert strength([1e-4, 1e-3, 1e-2, 1e-1], [1, 2, 8, 9]) == pytest.approx(1)
    assert strength([1, 2, 3, 4], [9, 8, 2, 1]) == pytest.approx(-1)


@pytest.mark.broken_by(
    "groups count once, whatever their size",
    "analysis/report/correlation.py",
    "len(group) * (group.mean()",
    "(group.mean()",
)
def test_the_ratio_of_choices_is_that_of_kruskal_and_wallis() -> None:
    draw = random.Random(0)
    labels = [draw.choice("aabc") for _ in range(60)]
    outcomes = [draw.gauss(ord(label), 1.5) for label in labels]
    groups = [[y for one, y in zip(labels, outcomes, strict=True) if one == label] for label in "abc"]
    h = scipy.stats.kruskal(*groups).statistic
    assert correlation_ratio(labels, outcomes) ** 2 == pytest.approx(h / (len(labels) - 1))


def test_choices_that_decide_the_result_have_ratio_one() -> None:
    assert strength(["a", "a", "b", "b"], [1, 1, 2, 2]) == pytest.approx(1)
    assert strength([True, False, True, False], [2, 1, 2, 1]) == pytest.approx(1)


@pytest.mark.parametrize(
    ("values", "outcomes"),
    [([1, 2, 3], [1, 2, 3]), ([1, 1, 1, 1], [1, 2, 3, 4]), ([1, 2, 3, 4], [5, 5, 5, 5])],
)
def test_nothing_is_computed_of_too_little(values: list[float], outcomes: list[float]) -> None:
    assert strength(values, outcomes) is None
