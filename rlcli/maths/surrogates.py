"""Surrogate objectives, one number per sample. ρ is the ratio pi/anchor, A the advantage."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from rlcli.maths.products import times


class Objective(NamedTuple):
    """An objective and its slope, so that a gradient step needs no graph."""

    value: Tensor
    slope: Tensor
    """∂ value / ∂ log π(a|s)."""


def clipped(ratio: Tensor, advantages: Tensor, clip: Tensor) -> Objective:
    """min(ρ A, clip(ρ, 1-ε, 1+ε) A) = min(ρ A, A + ε |A|), elementwise.

    Its slope ρ A is 0 exactly when (ρ ≤ 1-ε and A < 0) or (ρ ≥ 1+ε and A > 0): the edge itself belongs to the
    flat part. Source: Schulman et al. 2017, 'Proximal Policy Optimization Algorithms', equation 7.
    """
    weighted = times(ratio, advantages)
    limit = torch.addcmul(advantages, clip, advantages.abs())
    return Objective(torch.minimum(weighted, limit), torch.where(weighted >= limit, 0.0, weighted))


def importance_ratio(ratio: Tensor, advantages: Tensor) -> Objective:
    """ρ A, elementwise: unbiased for the return's first-order change, unbounded in ρ."""
    weighted = times(ratio, advantages)
    return Objective(weighted, weighted)


def score(log_prob: Tensor, advantages: Tensor) -> Objective:
    """log π(a|s) A, elementwise: its gradient is the policy gradient at the policy that acted."""
    return Objective(times(log_prob, advantages), advantages)


def clip_budget(clip: Tensor) -> Tensor:
    """-½ ln(1 - ε²): no policy whose ratios all lie in [1-ε, 1+ε] is farther than this in KL."""
    return -0.5 * torch.log1p(-clip * clip)


class Loss(NamedTuple):
    """A value loss and its slope."""

    value: Tensor
    slope: Tensor
    """∂ value / ∂ V(s)."""


def value_loss(values: Tensor, targets: Tensor) -> Loss:
    """(V - target)², without a factor ½ (as Stable-Baselines3 has it), elementwise."""
    error = values - targets
    return Loss(error * error, 2.0 * error)


def clipped_value_loss(values: Tensor, targets: Tensor, anchors: Tensor, clip: float) -> Loss:
    """max of the loss at V and at V clipped to ±clip around its prediction before the update, elementwise.

    Where the clipped loss is larger and V is outside the range, the slope is 0.
    """
    free = value_loss(values, targets)
    move = values - anchors
    inside = value_loss(anchors + move.clamp(-clip, clip), targets)
    stuck = (inside.value > free.value) & (move.abs() > clip)
    return Loss(torch.maximum(free.value, inside.value), torch.where(stuck, 0.0, free.slope))
