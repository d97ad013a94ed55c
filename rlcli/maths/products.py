"""Products in which 0 is stronger than infinity, elementwise."""

from __future__ import annotations

import torch
from torch import Tensor


def times(factor: Tensor, values: Tensor) -> Tensor:
    """factor · values, 0 where `values` are 0 even if the factor has overflowed to infinity.

    What a sample of no advantage, no reward or no weight contributes is nothing, whatever it is multiplied
    by; IEEE's 0 · ∞ is NaN. All other products have the bits of `*`, for factors that are not negative.
    """
    return torch.where(values == 0.0, values, factor * values)
