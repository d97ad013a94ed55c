"""Divergences between nearly equal distributions, without cancellation.

With d = log q - log p of an outcome, q - p is taken as p (exp(d) - 1), which has the digits of d. Hence
KL(p||q) = Σ p (exp(d) - 1 - d), all terms ≥ 0: Σ p (log p - log q) plus Σ (q - p), which is 0. As a plain sum
it would be off by 1e-16 however small it is; so it is off by 1e-16 of the total variation.
"""

from __future__ import annotations

import torch
from torch import Tensor


def changes(p: Tensor, q: Tensor, d: Tensor) -> Tensor:
    """q - p of each outcome; half the sum of their sizes is the total variation."""
    return torch.where(d < 1.0, p * torch.expm1(d), q - p)


def kl_terms(p: Tensor, q: Tensor, d: Tensor) -> Tensor:
    """p (exp(d) - 1 - d), whose sum over outcomes is KL(p||q)."""
    return changes(p, q, d) - p * d
