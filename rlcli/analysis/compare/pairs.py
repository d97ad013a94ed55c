"""Two groups against each other: probability of improvement, difference, same-seed pairs, seeds needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.stats

from rlcli.analysis.history import Array
from rlcli.analysis.statistics import CONFIDENCE, Estimate, estimate, interval

POWER = 0.8
"""Probability with which a number of seeds that is called enough finds the difference."""
MOST_SEEDS = 1_000
"""Largest number of seeds that is looked for."""


@dataclass(frozen=True)
class SameSeeds:
    """Differences of runs of equal seeds."""

    count: int
    difference: Estimate
    """Mean difference, with the bootstrap interval over pairs."""
    wins: float
    """Pairs that the first wins; ties count one half."""
    p: float | None
    """Of the paired t-test; None where it is undefined."""


@dataclass(frozen=True)
class Against:
    """A first group against a second one, in one environment."""

    improvement: Estimate
    """Probability that a run of the first is better than one of the second."""
    difference: Estimate
    """Mean of the first minus mean of the second."""
    p: float | None
    """Of Welch's t-test; None where it is undefined: of one seed."""
    seeds_needed: int | None
    """Seeds for each group that would separate them; None where they are separate, or none would."""
    same_seeds: SameSeeds | None

    @property
    def separate(self) -> bool:
        """Whether the means differ at the level of 5%."""
        return self.p is not None and self.p < 1 - CONFIDENCE


def probability_of_improvement(*samples: Array, axis: int = -1) -> Array:
    """P(X > Y) = 1/M sum_m 1/(N K) sum_ij S(x_mi, y_mj); S is 1 if x > y, 1/2 if they are equal, else 0.

    `samples` are the M environments' scores of X, then those of Y in the same order. Of one environment it is
    Mann and Whitney's U over N K, U = R - N (N + 1) / 2 with R the sum of the ranks of X, tied ones averaged.
    Agarwal et al. 2021, section 4.3.
    """
    half = len(samples) // 2
    shares = []
    for x, y in zip(samples[:half], samples[half:], strict=True):
        n, k = x.shape[axis], y.shape[axis]
        ranks = scipy.stats.rankdata(np.concatenate([x, y], axis=axis), axis=axis, method="average")
        of_x = np.take(ranks, np.arange(n), axis=axis).sum(axis=axis)
        shares.append((of_x - n * (n + 1) / 2) / (n * k))
    return np.asarray(np.mean(shares, axis=0))


def against(
    x: Array, y: Array, x_seeds: Sequence[int], y_seeds: Sequence[int], *, lower_is_better: bool = False
) -> Against:
    """Compares the scores of two groups in one environment, `[N]` and `[K]`, all finite."""
    sign = -1.0 if lower_is_better else 1.0
    p = welch(x, y)
    separate = p is not None and p < 1 - CONFIDENCE
    return Against(
        improvement=estimate(probability_of_improvement, sign * x, sign * y),
        difference=estimate(_difference, x, y),
        p=p,
        seeds_needed=None if separate else seeds_needed(x, y),
        same_seeds=_same_seeds(x, y, x_seeds, y_seeds, sign),
    )


def _difference(x: Array, y: Array, axis: int = -1) -> Array:
    return np.asarray(x.mean(axis=axis) - y.mean(axis=axis))


def _same_seeds(
    x: Array, y: Array, x_seeds: Sequence[int], y_seeds: Sequence[int], sign: float
) -> SameSeeds | None:
    """Pairs of runs whose seed is once in each group; None where there is none."""
    shared = [seed for seed in x_seeds if x_seeds.count(seed) == 1 and y_seeds.count(seed) == 1]
    if not shared:
        return None
    first = np.array([x[x_seeds.index(seed)] for seed in shared])
    second = np.array([y[y_seeds.index(seed)] for seed in shared])
    differences = first - second
    value, several = float(differences.mean()), len(shared) > 1
    bounds = interval(_difference, first, second, paired=True) if several else (None, None)
    low, high = (None if bound is None else float(bound) for bound in bounds)
    varied = several and np.ptp(differences) > 0
    return SameSeeds(
        count=len(shared),
        difference=Estimate(value, low, high),
        wins=float(((np.sign(sign * differences) + 1) / 2).sum()),
        p=float(scipy.stats.ttest_rel(first, second).pvalue) if varied else None,
    )


def welch(x: Array, y: Array) -> float | None:
    """Two-sided p of Welch's t-test; None where a group has one run, or neither varies and they are equal."""
    if min(len(x), len(y)) < 2:
        return None
    if np.ptp(x) == 0 and np.ptp(y) == 0:
        return None if x[0] == y[0] else 0.0
    return float(scipy.stats.ttest_ind(x, y, equal_var=False).pvalue)


def seeds_needed(x: Array, y: Array) -> int | None:
    """Seeds for each group at which a t-test would find the difference that was seen, with a power of 80%.

    The mean difference and the standard deviations of the runs are taken as the true ones. None where no
    spread or no difference is known, or more than 1,000 seeds would be needed. Colas et al. 2018, How Many
    Random Seeds?
    """
    if min(len(x), len(y)) < 2:
        return None
    spread = np.sqrt((x.var(ddof=1) + y.var(ddof=1)) / 2)
    if spread == 0 or x.mean() == y.mean():
        return None
    effect = abs(x.mean() - y.mean()) / spread
    counts = np.arange(min(len(x), len(y)) + 1, MOST_SEEDS + 1)
    enough = np.flatnonzero(power(float(effect), counts) >= POWER)
    return int(counts[enough[0]]) if len(enough) else None


def power(effect: float, seeds: npt.NDArray[np.integer]) -> Array:
    """Power of the two-sided t-test of two groups of n runs whose means differ by `effect` deviations.

    P(|T| > t), T noncentral with 2n - 2 degrees of freedom and noncentrality effect sqrt(n / 2).
    """
    freedom = 2 * seeds - 2
    limit = scipy.stats.t.ppf((1 + CONFIDENCE) / 2, freedom)
    shifted = scipy.stats.nct(freedom, effect * np.sqrt(seeds / 2))
    return np.asarray(shifted.sf(limit) + shifted.cdf(-limit))
