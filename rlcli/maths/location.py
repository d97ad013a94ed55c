"""Location estimates of results (the interquartile mean), on plain numbers."""

from __future__ import annotations

from collections.abc import Sequence


def interquartile_mean(values: Sequence[float]) -> float:
    """The mean of the middle half: without the lowest and the highest quarter of the values.

    Of n values n/4 are left out on either side; where that is no whole number, the outermost that stay weigh
    as much as is left of them. Less swayed by outliers than the mean, steadier than the median (Agarwal et
    al. 2021, Deep Reinforcement Learning at the Edge of the Statistical Precipice).
    """
    ordered = sorted(values)
    count = len(ordered)
    low, high = count / 4, 3 * count / 4
    weights = [min(place + 1, high) - max(place, low) for place in range(count)]
    kept = [(weight, value) for weight, value in zip(weights, ordered, strict=True) if weight > 0]
    return sum(weight * value for weight, value in kept) / sum(weight for weight, _ in kept)
