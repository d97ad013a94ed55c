"""The middle of some results."""

from __future__ import annotations

import random

import pytest

from rlcli.maths.location import interquartile_mean


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([7.0], 7.0),
        ([1.0, 3.0], 2.0),
        ([0.0, 1.0, 5.0], (0.25 * 0 + 1 + 0.25 * 5) / 1.5),
        ([9.0, 1.0, 2.0, -50.0], 1.5),
        ([100.0, 1.0, 2.0, 3.0, -100.0], (0.75 * 1 + 2 + 0.75 * 3) / 2.5),
        ([8.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], 4.5),
    ],
)
def test_by_hand(values: list[float], wanted: float) -> None:
    assert interquartile_mean(values) == pytest.approx(wanted)


@pytest.mark.broken_by(
    "the interquartile mean of whole values",
    "maths/location.py",
    "min(place + 1, high) - max(place, low) for",
    "float(low <= place < high) for",
)
def test_it_is_the_mean_of_the_middle_half_of_each_value_four_times() -> None:
    """Four copies of each value divide into quarters without a remainder."""
    draw = random.Random(0)
    for count in range(1, 14):
        values = [draw.gauss(0, 1) for _ in range(count)]
        copies = sorted(values * 4)[count : 3 * count]
        assert interquartile_mean(values) == pytest.approx(sum(copies) / len(copies))


def test_outliers_do_not_sway_it() -> None:
    assert interquartile_mean([1.0, 2.0, 3.0, 4.0, 1e9]) < 4.0
