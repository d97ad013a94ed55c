"""Pareto k-hat of importance weights: the shape of the tail, and with it how many moments they have.

ESS can look well where the variance of the weights is infinite: no sample of the tail was drawn. The shape k
of a generalized Pareto distribution, fitted to the largest weights, tells: E[w^m] exists for m < 1/k. Above
0.7 an estimate with these weights cannot be trusted. Source: Vehtari, Simpson, Gelman, Yao and Gabry 2024,
'Pareto Smoothed Importance Sampling', sections 2 and 3.

Shapes: weights are [..., n], one sample on the last axis; figures are [...] float64.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

UNRELIABLE = 0.7
"""k-hat above which the weights are worthless in practice."""
MINIMUM_TAIL = 20
"""Samples in the tail below which no shape is fitted."""
RESOLUTION = 2.0**-22
"""Difference of two log-weights up to which they are one: the probabilities are of single precision."""
PRIOR_SAMPLES, PRIOR_SHAPE = 10, 0.5
"""The fitted shape is drawn towards 0.5 as by so many samples."""
QUARTER = 3.0
"""Scale of the prior, in multiples of the first quartile."""


def tail_length(samples: int) -> int:
    """M = ceil(min(n/5, 3 √n)), the largest weights that are taken for the tail of n."""
    return math.ceil(min(0.2 * samples, 3.0 * math.sqrt(samples)))


def smallest_batch() -> int:
    """The fewest samples whose tail is long enough."""
    samples = MINIMUM_TAIL
    while tail_length(samples) < MINIMUM_TAIL:
        samples += 1
    return samples


def khat(log_weights: Tensor) -> Tensor:
    """The shape k of the tail of weights exp(log_weights), [..., n] to [...] float64.

    The excesses are over the largest weight below the tail. NaN where the tail is shorter than 20 samples, or
    fewer than a quarter of its weights differ, as in environments of few states: atoms have no shape.
    """
    samples = log_weights.shape[-1]
    length = tail_length(samples)
    if length < MINIMUM_TAIL or length >= samples:
        return torch.full(log_weights.shape[:-1], math.nan, dtype=torch.float64)
    log = log_weights.double().sort(-1).values
    tail = log[..., -length:]
    below = torch.where(log < tail[..., :1] - RESOLUTION, log, -math.inf).amax(-1, keepdim=True)
    different = 1 + (tail.diff(dim=-1) > RESOLUTION).sum(-1)
    fits = (4 * different >= length) & below[..., 0].isfinite()
    largest = log[..., -1:]
    excess = (tail - largest).exp() - (below - largest).exp()
    fitted = pareto_shape(torch.where(fits[..., None], excess, 1.0))
    return torch.where(fits, fitted, math.nan)


def pareto_shape(excess: Tensor) -> Tensor:
    """The shape k of a generalized Pareto distribution of sorted excesses [..., M] over a threshold.

    The posterior mean of θ = -k/σ over a grid of quasi-random points, weighted by the profile likelihood
    M (log(-θ/k(θ)) - k(θ) - 1) with k(θ) = mean log(1 - θ x); then k = k(θ), and a weak prior towards 0.5,
    k ← (M k + 10 · 0.5) / (M + 10). Sources: Zhang and Stephens 2009, 'A New and Efficient Estimation Method
    for the Generalized Pareto Distribution', section 3; the prior: Vehtari et al. 2024, appendix G.
    """
    count = excess.shape[-1]
    points = 30 + math.isqrt(count)
    grid = torch.arange(1, points + 1, dtype=torch.float64) - 0.5
    quartile = excess[..., math.floor(count / 4 + 0.5) - 1, None].clamp(min=1e-300)
    largest = excess[..., -1:]
    theta = 1.0 / largest + (1.0 - (points / grid).sqrt()) / (QUARTER * quartile)
    shape = torch.log1p(-theta[..., None] * excess[..., None, :]).mean(-1)
    likelihood = count * ((-theta / shape).log() - shape - 1.0)
    likelihood = torch.where(likelihood.isfinite(), likelihood, -math.inf)
    posterior = (theta * likelihood.softmax(-1)).sum(-1, keepdim=True)
    found = torch.log1p(-posterior * excess).mean(-1)
    return (count * found + PRIOR_SAMPLES * PRIOR_SHAPE) / (count + PRIOR_SAMPLES)
