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


def clipped_apart(
    ratio: Tensor, advantages: Tensor, clip: Tensor, clip_high: Tensor, dual: float
) -> Objective:
    """`clipped` to [1-ε, 1+ε'], and for A < 0 no lower than c A, elementwise; c = ∞: no such floor.

    max(min(ρ A, clip(ρ, 1-ε, 1+ε') A), c A) where A < 0; beyond the floor, ρ ≥ c, the slope is 0. Sources: Yu
    et al. 2025, 'DAPO', equation 10 (clip-higher: ε' > ε); Ye et al. 2020, 'Mastering Complex Control in MOBA
    Games with Deep Reinforcement Learning', section on dual-clip PPO (c = 3 there).
    """
    weighted = times(ratio, advantages)
    losing = advantages < 0.0
    limit = torch.addcmul(advantages, torch.where(losing, clip, clip_high), advantages.abs())
    floor = torch.where(losing, dual * advantages, -torch.inf)
    flat = (weighted >= limit) | ((weighted <= floor) & (floor > -torch.inf))
    value = torch.maximum(torch.minimum(weighted, limit), floor)
    return Objective(value, torch.where(flat, 0.0, weighted))


def penalised_ratio(ratio: Tensor, advantages: Tensor, clip: Tensor) -> Objective:
    """ρ A - |A| (ρ - 1)² / (2ε), elementwise: largest at ρ = 1 + ε sign A, from beyond which it pulls back.

    Source: Xie et al. 2024, 'Simple Policy Optimization', the objective of SPO.
    """
    size, side, move = advantages.abs(), advantages.sign(), ratio - 1.0
    # In this order an infinite ratio gives minus infinity, not the difference of two infinities.
    value = side + move * (side - move / (2.0 * clip))
    return Objective(times(value, size), times(ratio * (side - move / clip), size))


def weighted_score(log_ratio: Tensor, advantages: Tensor, clip: Tensor) -> Objective:
    """w (1 + log ρ - log w) A with w = min(ρ, 1+ε), elementwise: its slope is w A everywhere.

    CISPO ascends sg(w) A log π, sg the stop of the gradient, whose gradient is the same; as a value it would
    say nothing, since w differs from step to step. Up to the cap both this and its slope are ρ A. Source:
    MiniMax 2025, 'MiniMax-M1', equations 4 and 5, without a lower end of w, as in their experiments: where
    A < 0 a weight held above 0 pushes at an unlikely action for ever.
    """
    held = torch.minimum(log_ratio, torch.log1p(clip))
    weight = held.exp()
    return Objective(times(weight * (1.0 + (log_ratio - held)), advantages), times(weight, advantages))


def moves_away(log_ratio: Tensor, advantages: Tensor, divergence: Tensor, threshold: Tensor) -> Tensor:
    """Whether a sample's gradient is dropped: D(s) > δ, and the step would take ρ further from 1.

    That is (ρ > 1 and A > 0) or (ρ < 1 and A < 0), elementwise. Source: Qi et al. 2026, 'Rethinking the Trust
    Region in LLM Reinforcement Learning', the mask of DPPO, here with the divergence of all actions instead
    of the paper's binary and top-k approximations of it.
    """
    return (divergence > threshold) & (log_ratio * advantages > 0.0)


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


def clip_budget_apart(clip: Tensor, clip_high: Tensor) -> Tensor:
    """-(ε ln(1+ε') + ε' ln(1-ε)) / (ε + ε'): `clip_budget` for ratios in [1-ε, 1+ε'].

    KL = E[-ln ρ] is convex in ρ, whose mean is 1: it is largest where every ratio is at an end, the upper
    one with probability ε / (ε + ε').
    """
    shares = clip * torch.log1p(clip_high) + clip_high * torch.log1p(-clip)
    return -shares / (clip + clip_high)


def tv_budget(threshold: Tensor) -> Tensor:
    """2 δ²: within this KL a total variation cannot exceed δ (Pinsker)."""
    return 2.0 * threshold * threshold


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
