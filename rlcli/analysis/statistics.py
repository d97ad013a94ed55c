"""Statistics over seeds: interquartile mean, and bootstrap intervals.

Agarwal et al. 2021, Deep Reinforcement Learning at the Edge of the Statistical Precipice. What is resampled
are seeds; episodes of one run are no independent repetitions of training.
"""

from __future__ import annotations

import numpy as np
import scipy.stats

from rlcli.analysis.history import Array

CONFIDENCE = 0.95
RESAMPLES = 2_000
SEED = 0
"""Seed of the resampling: equal results give equal intervals."""


def iqm(values: Array, axis: int = 0) -> Array:
    """Interquartile mean along an axis: the mean without the lowest and the highest quarter.

    A quarter of n values is floor(n/4) of them, as in scipy.stats.trim_mean.
    """
    return np.asarray(scipy.stats.trim_mean(values, 0.25, axis=axis))


def bands(values: Array, resamples: int = RESAMPLES) -> tuple[Array, Array]:
    """95% percentile bootstrap interval of the interquartile mean over runs, `[R, K]` to two `[K]`.

    All positions of a run are resampled together. Of one run it is the value itself.
    """
    if len(values) == 1:
        return values[0], values[0]
    generator = np.random.default_rng(SEED)
    chosen = generator.integers(len(values), size=(resamples, len(values)))
    centres = iqm(values[chosen], axis=1)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(centres, [tail, 1 - tail], axis=0)
    return low, high
