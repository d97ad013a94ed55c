"""The coefficient of the KL penalty: its schedule, how it adapts, and the bounds it adapts within.

Everything is [R] float64: a product that halves and doubles for thousands of updates is rounded to the
network's float32 only where a gradient is taken.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from rlcli.config.schema import RunConfig

ADAPTIVE_BAND = 1.5
"""An adaptive penalty keeps its coefficient while the KL is within this factor of its target."""


def coefficients(configs: Sequence[RunConfig], updates: Sequence[int], factor: Tensor) -> Tensor:
    """beta of the update that follows `updates[r]` done ones; `factor` is what it was adapted to so far."""
    scheduled = [
        config.algo.beta * _scheduled(config, done) for config, done in zip(configs, updates, strict=True)
    ]
    return torch.tensor(scheduled, dtype=torch.float64, device=factor.device) * factor


def _scheduled(config: RunConfig, done: int) -> float:
    """What algo.beta is multiplied by at update k = `done`, counted from 0, of K; k stops at K - 1."""
    if config.algo.beta_schedule == "inverse":
        return 1.0 / (done + 1)
    if config.algo.beta_schedule == "linear":
        updates = -(-config.horizon(done) // config.batch_size)
        return 1.0 / (1.0 - min(done, updates - 1) / updates)
    return 1.0


def adapts(config: RunConfig) -> bool:
    """Whether there is a penalty whose coefficient answers to the KL."""
    return config.algo.penalty != "none" and config.algo.beta_schedule == "adaptive"


def adapted(configs: Sequence[RunConfig], factor: Tensor, kl: Tensor) -> Tensor:
    """The factor of the next update, from this update's KL and its target.

    Doubled above 1.5 kl_target, halved below kl_target / 1.5 (Schulman et al. 2017, section 4), and held
    within [beta_min, beta_max]: unbounded, it halves to 0 while nothing moves, from where doubling never
    returns, and doubles to infinity where the KL does not answer to it.
    """
    if not adapts(configs[0]):
        return factor
    target = factor.new_tensor([config.algo.kl_target for config in configs])
    lowered = torch.where(kl < target / ADAPTIVE_BAND, factor / 2.0, factor)
    moved = torch.where(kl > ADAPTIVE_BAND * target, factor * 2.0, lowered)
    floor, ceiling = _bounds(configs, factor)
    return torch.minimum(torch.maximum(moved, floor), ceiling)


def at_bound(configs: Sequence[RunConfig], factor: Tensor) -> Tensor:
    """-1 where beta stands at its floor, 1 at its ceiling, 0 between them."""
    floor, ceiling = _bounds(configs, factor)
    return (factor >= ceiling).double() - (factor <= floor).double()


def _bounds(configs: Sequence[RunConfig], like: Tensor) -> tuple[Tensor, Tensor]:
    """Floor and ceiling; 0 and infinity where there is none."""
    floors = [0.0 if config.algo.beta_min is None else config.algo.beta_min for config in configs]
    ceilings = [math.inf if config.algo.beta_max is None else config.algo.beta_max for config in configs]
    return like.new_tensor(floors), like.new_tensor(ceilings)


def spent(config: RunConfig) -> str:
    """The figure that is the mean KL between each step's policy and the one it is held to.

    KL(anchor||pi), or KL(pi||anchor) where an adaptive penalty is of that: what adapts must be what is
    penalised.
    """
    backward = adapts(config) and config.algo.penalty == "kl_pi_anchor"
    if config.algo.anchor == "behaviour":
        return "behaviour/kl_pi_mu" if backward else "behaviour/kl_mu_pi"
    return "update/kl_pi_anchor" if backward else "update/kl_anchor_pi"
