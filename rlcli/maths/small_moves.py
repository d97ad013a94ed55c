"""Divergences of two distributions that hardly differ, without cancellation.

Written with d = log q - log p of each outcome, all terms of a divergence are of one sign, and none is the
difference of two large numbers: Σ p (log p - log q) would be off by 1e-16 however small the divergence is.
"""

from __future__ import annotations

import torch
from torch import Tensor

SERIES = 1e-2
"""Below this size of d, exp(d) - 1 - d is summed up as a series."""
SMALL = 1.0
"""Below this size of d, q - p is taken as p (exp(d) - 1)."""


def excess(d: Tensor) -> Tensor:
    """exp(d) - 1 - d ≥ 0, elementwise, to 1e-13 of itself in float64 for every d."""
    series = d * (1 / 5040)
    for coefficient in (1 / 720, 1 / 120, 1 / 24, 1 / 6, 1 / 2):
        series = (series + coefficient) * d
    return torch.where(d.abs() < SERIES, series * d, torch.expm1(d) - d)


def kl_terms(p: Tensor, q: Tensor, d: Tensor) -> Tensor:
    """p (exp(d) - 1 - d), whose sum over outcomes is KL(p||q); each is ≥ 0.

    It is Σ p (log p - log q) plus Σ (q - p), which is 0.
    """
    return torch.where(d.abs() < SMALL, p * excess(d), (q - p) - p * d)


def changes(p: Tensor, q: Tensor, d: Tensor) -> Tensor:
    """q - p of each outcome, to the digits of d where it is small; half the sum of their sizes is the TV."""
    return torch.where(d.abs() < SMALL, p * torch.expm1(d), q - p)
