"""Gain of an importance-weighted gradient along the path from one policy to another.

Shapes as in `importance`: [T, ..., N], time-major. x are log-ratios log π(a|s)/μ(a|s) of the actions taken.

The coefficients C_t(x) of ∇ log π_t that `gradient_coefficients` gives are a field over x. What is gained
along the straight line from x to x + Δ is ∫₀¹ Σ_t C_t(x + s Δ) Δ_t ds: to first order the gradient times the
step, always. Where the field is the gradient of an objective L, it is L(x + Δ) - L(x):

- trajectory: L = Σ w (G - b) over segments; self-normalised Σ w (G - b) / Σ w.
- per_decision without a baseline and with `discount_states`: L = Σ γ^t w_t r_t.
- per_step: L = Σ w_t A_t;  none: L = Σ A_t log π_t.

A cap c makes each w an f(log w) that continues with slope c beyond log c, since it stops no gradient. The
other fields (prefixes, baselines off policy, rewards-to-go that leave γ^t out) are no objective's gradient;
their gain is along this line.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

NODES: list[tuple[float, float]] = [
    (0.5 + 0.5 * float(place), 0.5 * float(weight))
    for place, weight in zip(*np.polynomial.legendre.leggauss(5), strict=True)
]
"""Places in [0, 1] and weights of Gauss-Legendre quadrature, exact for polynomials of degree 9."""


def mean_log_weights(begin: Tensor, end: Tensor, cap: Tensor | None = None) -> Tensor:
    """log of the mean weight on the line from one policy to another, whose log-weights are `begin` and `end`.

    In closed form: logarithms of weights are linear in log-ratios, and the mean of exp over [a, b] is
    (exp(b) - exp(a)) / (b - a); where exp is above `cap` [..., 1], it is the cap. Coefficients are linear in
    weights that are not self-normalised, so those at the mean weights are the mean coefficients.
    """
    log = _log_mean_exp(begin, end)
    if cap is None:
        return log
    limit = cap.to(begin.dtype).log()
    low, high = torch.minimum(begin, limit), torch.minimum(end, limit)
    share = torch.where(begin == end, 1.0, (high - low) / (end - begin))
    below, above = share.log() + _log_mean_exp(low, high), (1.0 - share).log() + limit
    log = torch.where(torch.maximum(begin, end) > limit, torch.logaddexp(below, above), log)
    return torch.where(torch.minimum(begin, end) >= limit, limit, log)


def _log_mean_exp(a: Tensor, b: Tensor) -> Tensor:
    """log of the mean of exp over [a, b]: max(a, b) + log((1 - exp(-d)) / d), d = |b - a|."""
    d = (b - a).abs()
    falling = torch.where(d == 0.0, 0.0, (-torch.expm1(-d) / torch.where(d == 0.0, 1.0, d)).log())
    return torch.maximum(a, b) + torch.where(d == math.inf, -math.inf, falling)
