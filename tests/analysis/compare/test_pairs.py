"""Two groups against each other: probability of improvement, tests, same-seed pairs, seeds needed."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from rlcli.analysis.compare.pairs import against, power, probability_of_improvement, seeds_needed, welch
from tests.analysis.test_statistics import X, Y


@pytest.mark.broken_by(
    "ties count as improvements",
    "analysis/compare/pairs.py",
    'method="average"',
    'method="max"',
)
def test_ties_count_one_half() -> None:
    assert probability_of_improvement(np.array([1.0, 2]), np.array([1.0, 2])) == 0.5
    assert probability_of_improvement(np.array([3.0, 3]), np.array([3.0])) == 0.5
    assert probability_of_improvement(np.array([2.0, 3]), np.array([1.0, 2, 9])) == pytest.approx(
        (1 + 0.5 + 1 + 1) / 6
    )


@pytest.mark.broken_by(
    "the second better than the first",
    "analysis/compare/pairs.py",
    "np.concatenate([x, y], axis=axis)",
    "np.concatenate([y, x], axis=axis)",
)
def test_the_probability_is_mann_and_whitneys_u() -> None:
    generator = np.random.default_rng(0)
    for _ in range(20):
        x, y = generator.integers(5, size=6) * 1.0, generator.integers(1, 7, size=4) * 1.0
        expected = scipy.stats.mannwhitneyu(x, y).statistic / (len(x) * len(y))
        assert probability_of_improvement(x, y) == pytest.approx(expected)


def test_over_environments_it_is_the_mean_and_that_of_rliable() -> None:
    assert probability_of_improvement(*X, *Y) == pytest.approx(1 / 3)
    assert probability_of_improvement(np.ones(3), np.zeros(2), np.zeros(3), np.ones(2)) == 0.5


@pytest.mark.broken_by(
    "lower scores are no better",
    "analysis/compare/pairs.py",
    "sign = -1.0 if lower_is_better else 1.0",
    "sign = 1.0",
)
def test_lower_scores_may_be_the_better_ones() -> None:
    found = against(np.array([1.0, 2]), np.array([3.0, 4]), [0, 1], [0, 1], lower_is_better=True)
    assert found.improvement.value == 1
    assert found.difference.value == -2
    assert found.same_seeds is not None
    assert found.same_seeds.wins == 2


@pytest.mark.broken_by(
    "power of one group",
    "analysis/compare/pairs.py",
    "effect * np.sqrt(seeds / 2)",
    "effect * np.sqrt(seeds)",
)
@pytest.mark.parametrize(("effect", "seeds"), [(0.2, 394), (0.5, 64), (0.8, 26), (1.0, 17), (1.2, 12)])
def test_power_needs_the_known_numbers_of_runs(effect: float, seeds: int) -> None:
    """Of two groups at the level of 5% and a power of 80%: Cohen 1988, table 2.4.1 (393, 64, 26, 17, 12).

    For the smallest effect Cohen's approximation is one below the exact number.
    """
    assert power(effect, np.array([seeds]))[0] >= 0.8 > power(effect, np.array([seeds - 1]))[0]


def test_power_without_a_difference_is_the_level() -> None:
    np.testing.assert_allclose(power(0.0, np.arange(2, 30)), 0.05)


def test_power_is_what_a_simulation_finds() -> None:
    generator = np.random.default_rng(0)
    x, y = generator.normal(1.0, size=(4000, 8)), generator.normal(size=(4000, 8))
    found = (scipy.stats.ttest_ind(x, y, axis=1).pvalue < 0.05).mean()
    assert power(1.0, np.array([8]))[0] == pytest.approx(found, abs=0.03)


@pytest.mark.broken_by(
    "deviations of the sample, not of all runs",
    "analysis/compare/pairs.py",
    "(x.var(ddof=1) + y.var(ddof=1)) / 2",
    "(x.var() + y.var()) / 2",
)
def test_the_seeds_that_are_needed_follow_from_the_means_and_deviations_seen() -> None:
    x, y = np.array([0.0, 1, 2]), np.array([0.8, 1.8, 2.8])  # deviations 1, difference 0.8
    assert seeds_needed(x, y) == 26
    assert seeds_needed(x * 1000, y * 1000) == 26
    assert seeds_needed(x, x + 0.01) is None, "more than a thousand"
    assert seeds_needed(x, x) is None
    assert seeds_needed(x, np.array([1.0])) is None


def test_groups_that_are_separate_need_no_seeds() -> None:
    found = against(np.arange(8.0), np.arange(8.0) + 20, list(range(8)), list(range(8)))
    assert found.separate
    assert found.seeds_needed is None


@pytest.mark.broken_by(
    "equal variances are assumed",
    "analysis/compare/pairs.py",
    "ttest_ind(x, y, equal_var=False)",
    "ttest_ind(x, y)",
)
def test_welch_does_not_assume_equal_variances() -> None:
    x, y = np.array([0.0, 10, 20, 30]), np.array([1.0, 2])
    spread = x.var(ddof=1) / 4 + y.var(ddof=1) / 2
    freedom = spread**2 / ((x.var(ddof=1) / 4) ** 2 / 3 + (y.var(ddof=1) / 2) ** 2)
    expected = 2 * scipy.stats.t.sf((x.mean() - y.mean()) / np.sqrt(spread), freedom)
    assert welch(x, y) == pytest.approx(expected)


def test_runs_that_do_not_vary_are_separate_or_the_same() -> None:
    assert welch(np.full(3, 5.0), np.full(3, 5.0)) is None
    assert welch(np.full(3, 5.0), np.full(3, 6.0)) == 0
    assert welch(np.array([5.0]), np.array([6.0, 7.0])) is None


@pytest.mark.broken_by(
    "pairs by place, not by seed",
    "analysis/compare/pairs.py",
    "y[y_seeds.index(seed)]",
    "y[x_seeds.index(seed)]",
)
def test_pairs_are_runs_of_equal_seeds() -> None:
    found = against(np.array([1.0, 2, 3, 9]), np.array([2.5, 2.0, 0.0]), [0, 1, 2, 7], [2, 1, 0]).same_seeds
    assert found is not None
    assert found.count == 3
    assert found.difference.value == pytest.approx((1 + 0 + 0.5) / 3)
    assert found.wins == 2.5
    assert found.p == pytest.approx(scipy.stats.ttest_rel([1, 2, 3], [0, 2, 2.5]).pvalue)


def test_a_constant_advantage_shows_in_pairs_alone() -> None:
    base = np.array([0.0, 100, 200, 300])
    found = against(base + 1, base, [0, 1, 2, 3], [0, 1, 2, 3])
    assert not found.separate
    assert found.same_seeds is not None
    assert (found.same_seeds.difference.low, found.same_seeds.difference.high) == (1, 1)
    assert found.same_seeds.p is None, "of differences that do not vary"


def test_seeds_that_a_group_has_twice_are_no_pairs() -> None:
    assert against(np.array([1.0, 2]), np.array([3.0, 4]), [0, 0], [0, 1]).same_seeds is None
    assert against(np.array([1.0, 2]), np.array([3.0, 4]), [0, 1], [2, 3]).same_seeds is None
