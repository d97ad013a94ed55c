"""Advantages and value targets.

Shapes: every argument is time-major [T, ...]; discounts broadcast against one time step.
At step t, `next_values` is V of the true successor s_{t+1} (the final observation when an episode ends), so
that a truncation bootstraps and a termination does not; where both hold, termination wins.
"""

from __future__ import annotations

import torch
from torch import Tensor


def td_errors(
    rewards: Tensor, values: Tensor, next_values: Tensor, terminated: Tensor, gamma: Tensor
) -> Tensor:
    """δ_t = r_t + γ (1 - terminated_t) V(s_{t+1}) - V(s_t), shape [T, ...]."""
    return rewards + gamma * torch.where(terminated, 0.0, next_values) - values


def gae(
    rewards: Tensor,
    values: Tensor,
    next_values: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    gamma: Tensor,
    trace_decay: Tensor,
) -> Tensor:
    """Generalised advantages A_t = Σ_{k≥0} (γλ)^k δ_{t+k}, the sum ending with the episode or the rollout.

    Source: Schulman et al. 2016, 'High-Dimensional Continuous Control Using Generalized Advantage
    Estimation', equation 16. Value targets are A + V.
    """
    deltas = td_errors(rewards, values, next_values, terminated, gamma)
    decays = torch.where(terminated | truncated, 0.0, gamma * trace_decay)
    advantage = torch.zeros_like(deltas[0])
    reversed_advantages = []
    for delta, decay in zip(reversed(deltas.unbind(0)), reversed(decays.unbind(0)), strict=True):
        advantage = torch.addcmul(delta, decay, advantage)
        reversed_advantages.append(advantage)
    return torch.stack(reversed_advantages[::-1])


def discounted_returns(
    rewards: Tensor, ended: Tensor, gamma: Tensor, carried: Tensor
) -> tuple[Tensor, Tensor]:
    """Forward accumulators G_t = γ G_{t-1} + r_t, which start again from 0 after an end.

    `carried` is the accumulator before the first step; returns ([T, ...], the accumulator to carry on).
    """
    totals = []
    for reward, end in zip(rewards.unbind(0), ended.unbind(0), strict=True):
        total = torch.addcmul(reward, gamma, carried)
        totals.append(total)
        carried = torch.where(end, 0.0, total)
    return torch.stack(totals), carried


def whiten(advantages: Tensor) -> Tensor:
    """Zero mean and unit population deviation over the last axis.

    Two passes; the divisor is max(std, 1e-8). Where std is below 1e-6 of the root mean square the
    differences are rounding, and the result is zero.
    """
    centred = advantages - advantages.mean(-1, keepdim=True)
    deviation = (centred * centred).mean(-1, keepdim=True).sqrt()
    scale = (advantages * advantages).mean(-1, keepdim=True).sqrt()
    return torch.where(deviation <= 1e-6 * scale, 0.0, centred / deviation.clamp(min=1e-8))
