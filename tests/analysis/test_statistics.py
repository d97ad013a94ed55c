"""Statistics over seeds, against closed forms, exact enumerations and the values of rliable's own test."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from rlcli.analysis.statistics import (
    Estimate,
    bands,
    estimate,
    interval,
    iqm,
    mean,
    median,
    optimality_gap,
    pooled_iqm,
)

# Scores of rliable's test, tests/rliable/metrics_test.py, one sample per task.
X = (np.array([1.0, 2, 1, 2]), np.array([2.0, 2, 1, 1]))
Y = (np.array([1.0, 2, 3]), np.array([1.0, 2, 3]))


@pytest.mark.parametrize("statistic", [mean, median, pooled_iqm])
def test_aggregates_are_those_of_rliable(statistic) -> None:
    assert statistic(*X) == pytest.approx(1.5)
    assert statistic(*Y) == pytest.approx(2)


@pytest.mark.broken_by(
    "the interquartile mean trims a tenth",
    "analysis/statistics.py",
    "trim_mean(values, 0.25,",
    "trim_mean(values, 0.1,",
)
def test_the_interquartile_mean_is_that_of_the_middle_half() -> None:
    assert iqm(np.array([-1000.0, 1, 2, 3, 4, 5, 6, 1000])) == 3.5
    assert iqm(np.array([9.0, 0, 3])) == 4, "of three runs nothing is trimmed"
    assert pooled_iqm(np.array([0.0, 1, 2, 3]), np.array([10.0, 10, 10, 10])) == pytest.approx(
        (2 + 3 + 10 + 10) / 4
    )


@pytest.mark.broken_by(
    "the median over environments is of all runs",
    "analysis/statistics.py",
    "np.median([sample.mean(axis=axis) for sample in samples], axis=0)",
    "np.median(np.concatenate(samples, axis=axis), axis=axis)",
)
def test_the_median_is_over_environments_of_means_over_runs() -> None:
    samples = [np.array([0.0, 0, 9]), np.array([1.0, 1]), np.array([5.0])]
    assert median(*samples) == 3
    assert median(samples[0]) == 0, "of one environment, over runs"


@pytest.mark.broken_by(
    "environments count by their runs",
    "analysis/statistics.py",
    "np.mean([sample.mean(axis=axis) for sample in samples], axis=0)",
    "np.concatenate(samples, axis=axis).mean(axis=axis)",
)
def test_the_mean_gives_environments_equal_weight() -> None:
    assert mean(np.array([0.0, 0, 0]), np.array([1.0])) == 0.5


@pytest.mark.broken_by(
    "scores above the target make up for others",
    "analysis/statistics.py",
    "np.maximum(TARGET - sample, 0.0)",
    "TARGET - sample",
)
def test_the_optimality_gap_counts_shortfalls_alone() -> None:
    assert optimality_gap(np.array([0.5, 3.0]), np.array([1.0, 0.8])) == pytest.approx((0.25 + 0.1) / 2)


def enumerated(values: list[float], share: float) -> float:
    """A quantile of the mean over all n^n resamples, none left to chance."""
    means = sorted(np.mean(chosen) for chosen in itertools.product(values, repeat=len(values)))
    return float(np.quantile(means, share, method="inverted_cdf"))


@pytest.mark.broken_by(
    "an interval of ninety percent", "analysis/statistics.py", "CONFIDENCE = 0.95", "CONFIDENCE = 0.9"
)
def test_the_interval_is_that_of_all_resamples() -> None:
    values = [0.0, 1.0, 4.0, 10.0]
    found = estimate(mean, np.array(values))
    assert found.value == 3.75
    # 256 resamples are few: the bounds lie on one of their steps or beside it
    assert found.low == pytest.approx(enumerated(values, 0.025), abs=0.26)
    assert found.high == pytest.approx(enumerated(values, 0.975), abs=0.26)


@pytest.mark.broken_by(
    "environments are resampled together",
    "analysis/statistics.py",
    "        paired=paired,",
    "        paired=True,",
)
def test_runs_are_resampled_within_their_environment() -> None:
    """Two environments of which one is as bad as the other is good: drawn apart, they do not cancel out."""
    low, high = interval(mean, np.array([0.0, 1, 0, 1]), np.array([1.0, 0, 1, 0]))
    assert low < 0.3
    assert high > 0.7
    assert estimate(mean, np.zeros(3), np.ones(5)) == Estimate(0.5, 0.5, 0.5), "between them nothing varies"


def test_paired_samples_are_drawn_alike() -> None:
    low, high = interval(mean, np.array([0.0, 1, 0, 1]), np.array([1.0, 0, 1, 0]), paired=True)
    assert (low, high) == (0.5, 0.5)


def test_a_single_run_has_no_interval() -> None:
    assert estimate(mean, np.array([3.0])) == Estimate(3)
    assert estimate(mean, np.array([3.0, 3.0]), np.array([1.0])) == Estimate(2)


def test_equal_scores_give_equal_intervals() -> None:
    values = np.random.default_rng(3).normal(size=7)
    assert estimate(pooled_iqm, values) == estimate(pooled_iqm, values)


def test_intervals_of_several_environments_cover_the_truth() -> None:
    """8 environments with 10 runs each, whose true mean is 0: 95% intervals hold it about as often.

    The percentile bootstrap is known to be somewhat narrow: with 10 runs the variance it sees is 9/10.
    """
    generator = np.random.default_rng(1)
    inside = 0
    for _ in range(200):
        low, high = interval(mean, *generator.normal(size=(8, 10)))
        inside += low <= 0 <= high
    assert 0.88 <= inside / 200 <= 0.98


def test_bands_are_the_intervals_of_each_position() -> None:
    values = np.random.default_rng(0).normal(size=(6, 3))
    low, high = bands(values)
    expected_low, expected_high = interval(pooled_iqm, values.T)
    np.testing.assert_allclose(low, expected_low, atol=0.1)
    np.testing.assert_allclose(high, expected_high, atol=0.1)
