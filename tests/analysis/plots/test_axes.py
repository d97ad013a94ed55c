"""Labels that do not overlap, ticks, the choice of a logarithmic axis."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from rlcli.analysis.plots.axes import bounds, is_logarithmic, labels, log_ticks, short, spread, ticks


@pytest.mark.broken_by(
    "labels of a plot may overlap",
    "analysis/plots/axes.py",
    "while pools and pools[-1][0] / pools[-1][1] > total / size:",
    "while False:",
)
def test_labels_are_a_gap_apart_in_their_order_and_within_bounds() -> None:
    generator = np.random.default_rng(0)
    for count in range(1, 9):
        wanted = [float(value) for value in generator.uniform(-2, 12, count)]
        found = spread(wanted, 1.0, 0.0, 10.0)
        by_wish = [found[place] for place in np.argsort(wanted, kind="stable")]
        assert all(after - before >= 1.0 - 1e-9 for before, after in itertools.pairwise(by_wish))
        assert by_wish[0] >= -1e-9
        assert by_wish[-1] <= 10.0 + 1e-9


def test_moves_of_labels_have_the_smallest_sum_of_squares() -> None:
    """Two labels at one place move half a gap each; one that is free stays."""
    assert spread([5.0, 5.0, 9.0], 1.0, 0.0, 10.0) == pytest.approx([4.5, 5.5, 9.0])
    wanted = np.array([3.0, 3.2, 3.3])
    found = np.array(spread(list(wanted), 1.0, 0.0, 10.0))
    least = ((found - wanted) ** 2).sum()
    for base in np.linspace(1, 4, 301):
        for second in np.linspace(1, 1.5, 11):
            other = np.array([base, base + second, base + 2 * second])
            assert ((other - wanted) ** 2).sum() >= least - 1e-9


def test_labels_without_room_divide_it() -> None:
    assert spread([0.0, 0.0, 0.0], 5.0, 0.0, 4.0) == pytest.approx([0.0, 2.0, 4.0])
    assert spread([], 1.0, 0.0, 1.0) == []


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1e-5, 1e-4, 3e-4, 1e-3, 1e-2], True),
        ([1e-4, 3e-4, 1e-3], True),
        ([16.0, 64.0, 256.0], True),
        ([0.05, 0.2, 0.4], False),
        ([0.0001, *np.linspace(0.001, 0.02, 20)], False),
        ([0.0, 1.0, 100.0], False),
        ([-1.0, 1.0], False),
        ([1.0], False),
    ],
)
def test_an_axis_is_logarithmic_where_values_spread_over_decades(values: list[float], expected: bool) -> None:
    assert is_logarithmic(np.array(values)) == expected


def test_ticks_are_round_few_and_within_the_range() -> None:
    assert ticks(0, 100, 6) == [0, 20, 40, 60, 80, 100]
    assert ticks(-1500, -200, 4) == [-1500, -1000, -500]
    assert ticks(3, 3, 5) == [3]
    for low, high in ((0.013, 0.0178), (-7e8, 3e9), (1e-9, 2e-9), (499.99, 500.01)):
        found = ticks(low, high, 5)
        assert 1 <= len(found) <= 5
        assert all(low - 1e-6 * (high - low) <= tick <= high + 1e-6 * (high - low) for tick in found)
    assert log_ticks(1e-5, 1e-2, 6) == pytest.approx([1e-5, 1e-4, 1e-3, 1e-2])
    assert log_ticks(2e-4, 7e-4, 5) == pytest.approx([2e-4, 5e-4])


def test_ticks_are_short_and_in_one_unit() -> None:
    assert labels([0, 5000, 10_000, 15_000]) == ["0", "5k", "10k", "15k"]
    assert labels([-1500, -500, 0]) == ["-1500", "-500", "0"]
    assert [short(value) for value in (0.0, 0.05, 1e-5, 1.5e6, -2e-4)] == [
        "0",
        "0.05",
        "1e-5",
        "1.5M",
        "-2e-4",
    ]


def test_bounds_hold_all_values_and_a_constant() -> None:
    low, high = bounds([np.array([1.0, 2.0]), np.empty(0)])
    assert (low, high) == pytest.approx((0.96, 2.04))
    assert bounds([np.array([3.0])], margin=0.0) == (1.5, 4.5)
    assert bounds([np.array([0.0, 0.0])]) == (-0.5, 0.5)
    assert bounds([]) == (0.0, 1.0)
