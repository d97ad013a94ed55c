"""Squashing of real numbers u into bounds, a = low + (high - low) (tanh u + 1) / 2, and its log-determinant.

|da/du| = (1 - tanh² u) (high - low) / 2, so log π(a) = log π(u) - Σ log|da/du|. The correction does not
depend on the policy: it cancels in ratios, in divergences and in gradients of log π, and only the entropy has
it, as the expectation of log(1 - tanh² u).

That has no closed form for u ~ N(m, σ²). But tanh u is Σ_k p_k erf(s_k u) to within 2e-7, a mixture as in
Monahan and Stefanski 1992, 'Normal scale mixture approximations to F*(z)', and log(1 - tanh² u) its integral
-2 ∫₀ᵘ tanh. Expectations of the mixture are closed: E[log(1 - tanh² u)] = 2 Σ_k p_k (1/(s_k √π) - E|x_k|)
with x_k ~ N(m, τ_k²), τ_k² = σ² + 1/(2 s_k²). Errors are below 5e-7 at any m and σ.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

SCALES = (
    0.38113983846962946,
    0.5187084911183246,
    0.7010446166554333,
    0.9455394447008182,
    1.2694619430874572,
    1.7133532849963093,
)
SHARES = (
    0.00909423024420022,
    0.10908565207365392,
    0.3172814664750855,
    0.3737874477298093,
    0.17235718440952716,
    0.018394019067723772,
)
"""s_k and p_k, by scripts/tanh_mixture.py."""
LOG_2 = math.log(2.0)
MEAN_SIZE = math.sqrt(2.0 / math.pi)
"""E|x| of x ~ N(0, 1)."""


def log_slope(u: Tensor) -> Tensor:
    """log d tanh(u)/du = log(1 - tanh² u), elementwise; exact where tanh u is rounded to ±1.

    2 (log 2 - u - softplus(-2u)), which is even in u: 2 (log 2 - |u| - log(1 + exp(-2 |u|))).
    """
    size = u.abs()
    return 2.0 * (LOG_2 - size - torch.exp(-2.0 * size).log1p())


def expected_log_slope(mean: Tensor, std: Tensor) -> Tensor:
    """E[log(1 - tanh² u)] for u ~ N(mean, std²), elementwise."""
    shares, spread, ratio = _terms(mean, std)
    at_zero = sum(share / scale for share, scale in zip(SHARES, SCALES, strict=True)) / math.sqrt(math.pi)
    sizes = MEAN_SIZE * spread * torch.exp(-ratio * ratio) + mean.unsqueeze(-1) * torch.erf(ratio)
    return 2.0 * (at_zero - (shares * sizes).sum(-1))


def slopes_of_expectation(mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
    """Derivatives of `expected_log_slope` by mean and by log std.

    ∂ E|x_k|/∂m = erf(m/(τ_k √2));  ∂ E|x_k|/∂ log σ = √(2/π) exp(-m²/(2 τ_k²)) σ²/τ_k.
    """
    shares, spread, ratio = _terms(mean, std)
    by_mean = (shares * torch.erf(ratio)).sum(-1)
    by_spread = (shares * torch.exp(-ratio * ratio) / spread).sum(-1)
    return -2.0 * by_mean, -2.0 * MEAN_SIZE * std * std * by_spread


def _terms(mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """p_k [K], τ_k and m/(τ_k √2), both [..., K]."""
    shares, scales = (torch.tensor(each, dtype=mean.dtype, device=mean.device) for each in (SHARES, SCALES))
    spread = torch.sqrt((std * std).unsqueeze(-1) + 0.5 / (scales * scales))
    return shares, spread, mean.unsqueeze(-1) / (math.sqrt(2.0) * spread)
