"""Importance of settings: the share of variance of a grid, and Optuna's measure of a search."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from rlcli.analysis.importance import PED_ANOVA, VARIANCE, explained, importance


@pytest.mark.broken_by(
    "importance of settings without the correction for chance",
    "analysis/importance.py",
    "(between - (number - 1) * within / (count - number)) / total",
    "between / total",
)
def test_the_share_of_variance_is_that_of_an_analysis_of_variance() -> None:
    """By scipy's F statistic: F = (SSB / (k - 1)) / (SSW / (n - k)), so ε² follows from F, k and n alone."""
    generator = np.random.default_rng(3)
    groups = [generator.normal(mean, 1.0, 6) for mean in (0.0, 0.5, 2.0)]
    values = np.concatenate(groups)
    f = float(scipy.stats.f_oneway(*groups).statistic)
    k, n = 3, len(values)
    expected = (k - 1) * (f - 1) / ((k - 1) * f + (n - k))
    column = [name for name in (0.1, 0.2, 0.4) for _ in range(6)]
    assert explained(column, values) == pytest.approx(expected)
    assert explained([str(value) for value in column], values) == pytest.approx(expected)


def test_a_setting_without_effect_has_none_on_average_and_one_that_decides_has_all() -> None:
    generator = np.random.default_rng(0)
    column = [1, 2, 3] * 10
    shares = [explained(column, generator.normal(size=30)) for _ in range(200)]
    assert float(np.mean(shares)) < 0.05
    assert explained(column, np.array(column, float) * 7) == pytest.approx(1.0)
    assert explained(column, np.ones(30)) == 0.0
    assert explained([1, 2, 3], np.array([1.0, 2.0, 3.0])) == 0.0, "one run per value says nothing"


def test_numbers_that_a_sampler_chose_are_put_into_classes() -> None:
    generator = np.random.default_rng(1)
    rate = list(10 ** generator.uniform(-5, -1, 60))
    values = -np.abs(np.log10(rate) + 3) + generator.normal(0, 0.1, 60)
    shares, measure = importance({"rate": rate, "seed-like": list(generator.uniform(0, 1, 60))}, values, True)
    assert measure == VARIANCE
    assert list(shares) == ["rate", "seed-like"], (
        "the optimum is in the middle, so no rank correlation finds it"
    )
    assert shares["rate"] > 0.7
    assert shares["seed-like"] < 0.2


def test_large_searches_are_measured_by_optuna() -> None:
    pytest.importorskip("optuna")
    generator = np.random.default_rng(2)
    rate = list(10 ** generator.uniform(-5, -1, 150))
    settings = {"rate": rate, "other": list(generator.uniform(0, 1, 150)), "kind": ["a", "b", None] * 50,
                "constant": [1] * 150}  # fmt: skip
    values = -np.abs(np.log10(rate) + 3) + generator.normal(0, 0.1, 150)
    shares, measure = importance(settings, values, True)
    assert measure == PED_ANOVA
    assert next(iter(shares)) == "rate"
    assert set(shares) == {"rate", "other", "kind"}
    assert sum(shares.values()) == pytest.approx(1.0)
    assert importance(settings, values, True)[0] == shares, "the same every time"
