"""Squashing of real numbers u into bounds, a = low + (high - low) (tanh u + 1) / 2, and its log-determinant.

|da/du| = (1 - tanh² u) (high - low) / 2, so log π(a) = log π(u) - Σ log|da/du|. The correction does not depend
on the policy: it cancels in ratios, in divergences and in gradients of log π, and only the entropy has it.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor

LOG_2 = math.log(2.0)
REACH = 6.5
"""Standard deviations at which expectations end; beyond lie 1e-10 of the probability."""
NODES = 96
"""Of the trapezoidal rule. Its error is about exp(-2 π d/h), for steps h and the distance d = π/(2σ) of the
integrand's poles from the real line: 1e-7 at σ = 4, 1e-4 at σ = e², the largest of `gaussians.py`."""
TOGETHER = 8
"""Nodes evaluated at once: always as many, so that sums do not depend on the size of a batch."""


def log_slope(u: Tensor) -> Tensor:
    """log d tanh(u)/du = log(1 - tanh² u), elementwise; exact where tanh u is rounded to ±1.

    2 (log 2 - u - softplus(-2u)), which is even in u: 2 (log 2 - |u| - log(1 + exp(-2 |u|))).
    """
    size = u.abs()
    return 2.0 * (LOG_2 - size - torch.exp(-2.0 * size).log1p())


def expected_log_slope(mean: Tensor, std: Tensor) -> Tensor:
    """E[log(1 - tanh² u)] for u ~ N(mean, std²), elementwise."""
    found = torch.zeros_like(mean)
    for x, weights in _nodes(mean):
        found += (log_slope(_at(mean, std, x)) * weights).sum(-1)
    return found


def slopes_of_expectation(mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
    """Derivatives of `expected_log_slope` by mean and log std: E[-2 tanh u] and E[-2 tanh(u) (u - mean)]."""
    by_mean, by_log_std = torch.zeros_like(mean), torch.zeros_like(mean)
    for x, weights in _nodes(mean):
        pulled = -2.0 * torch.tanh(_at(mean, std, x)) * weights
        by_mean += pulled.sum(-1)
        by_log_std += (pulled * x).sum(-1)
    return by_mean, by_log_std * std


def _at(mean: Tensor, std: Tensor, x: Tensor) -> Tensor:
    return mean.unsqueeze(-1) + std.unsqueeze(-1) * x


def _nodes(like: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Nodes of the standard normal distribution and their probabilities, some at a time."""
    x, weights = (part.to(like) for part in _rule())
    return list(zip(torch.split(x, TOGETHER), torch.split(weights, TOGETHER), strict=True))


@cache
def _rule() -> tuple[Tensor, Tensor]:
    with torch.inference_mode(False):
        x = torch.linspace(-REACH, REACH, NODES, dtype=torch.float64)
        weights = torch.exp(-0.5 * x * x)
        return x, weights / weights.sum()
