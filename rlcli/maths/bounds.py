"""Bounds that tie divergences together, elementwise. KL in nats, TV in [0, 1]."""

from __future__ import annotations

import torch
from torch import Tensor


def pinsker(kl: Tensor) -> Tensor:
    """TV ≤ √(KL/2)."""
    return (0.5 * kl).sqrt()


def bretagnolle_huber(kl: Tensor) -> Tensor:
    """TV ≤ √(1 - exp(-KL)), below 1 for any KL."""
    return (-torch.expm1(-kl)).sqrt()
