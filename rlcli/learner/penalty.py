"""The KL penalty: its divergence, and its coefficient beta with schedule, adaptation and bounds.

The coefficient is [R] float64: a product that halves and doubles for thousands of updates is rounded to the
network's float32 only where a gradient is taken. Shapes: R runs, B samples, D policy outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from rlcli.config.schema.run import RunConfig
from rlcli.learner.hyperparameters import Hyperparameters
from rlcli.maths.distribution import Distribution
from rlcli.maths.distributions import Family

ADAPTIVE_BAND = 1.5
"""An adaptive penalty keeps its coefficient while the KL is within this factor of its target."""

Schedule = Callable[[RunConfig, int], float]
"""(config, updates done) -> the factor of algo.beta."""


@dataclass(frozen=True)
class Penalty:
    """beta times the mean exact KL between the policy and its anchor, subtracted from the objective."""

    backward: bool
    """Whether it is KL(pi||anchor), not KL(anchor||pi)."""
    schedule: Schedule
    adapts: bool
    """Whether beta adapts to the KL."""

    def kl(self, anchor: Distribution, policy: Distribution) -> Tensor:
        """The divergence of each sample [R, B]."""
        return policy.kl(anchor) if self.backward else anchor.kl(policy)

    def pullback(self, anchor: Distribution, policy: Distribution, by_kl: Tensor) -> tuple[Tensor, Tensor]:
        """The gradient by the policy's outputs and free parameters, from that by the KL [R, B]."""
        return (
            policy.pullback_kl_to(anchor, by_kl) if self.backward else policy.pullback_kl_from(anchor, by_kl)
        )

    def coefficients(
        self, configs: Sequence[RunConfig], updates: Sequence[int], hyper: Hyperparameters, factor: Tensor
    ) -> Tensor:
        """beta [R] of the update that follows `updates[r]` done ones; `factor` is what it was adapted to."""
        pairs = zip(configs, updates, strict=True)
        factors = factor.new_tensor([self.schedule(config, done) for config, done in pairs])
        return hyper.exact("beta") * factors * factor

    def adapted(self, hyper: Hyperparameters, factor: Tensor, kl: Tensor) -> Tensor:
        """The factor of the next update, from this update's KL and its target.

        Doubled above 1.5 kl_target, halved below kl_target / 1.5 (Schulman et al. 2017, section 4), and kept
        within [beta_min, beta_max]: unbounded, it halves to 0 while nothing moves, from where doubling never
        returns, and doubles to infinity where the KL does not answer to it.
        """
        if not self.adapts:
            return factor
        target = hyper.exact("kl_target")
        lowered = torch.where(kl < target / ADAPTIVE_BAND, factor / 2.0, factor)
        moved = torch.where(kl > ADAPTIVE_BAND * target, factor * 2.0, lowered)
        floor, ceiling = self._bounds(hyper)
        return torch.minimum(torch.maximum(moved, floor), ceiling)

    def at_bound(self, hyper: Hyperparameters, factor: Tensor) -> Tensor:
        """-1 where beta is at its floor, 1 at its ceiling, 0 between them."""
        floor, ceiling = self._bounds(hyper)
        return (factor >= ceiling).double() - (factor <= floor).double()

    def _bounds(self, hyper: Hyperparameters) -> tuple[Tensor, Tensor]:
        """Floor and ceiling; 0 and infinity where there is none."""
        floor = hyper.exact("beta_min")
        return torch.where(floor.isinf(), 0.0, floor), hyper.exact("beta_max")


class PenaltyTerm(NamedTuple):
    """The penalty of one update."""

    penalty: Penalty
    anchor_free: Tensor
    """[R, 1, F]: the anchor's free parameters."""
    beta: Tensor
    """[R, 1]."""

    def anchor(self, family: Family, outputs: Tensor) -> Distribution:
        """The anchor at outputs [R, b, D] of a minibatch."""
        return family.distribution(outputs, self.anchor_free)


def constant(config: RunConfig, done: int) -> float:  # noqa: ARG001 -- schedules are called alike
    """1."""
    return 1.0


def inverse(config: RunConfig, done: int) -> float:  # noqa: ARG001 -- schedules are called alike
    """1 / (k + 1) at update k = `done`, counted from 0."""
    return 1.0 / (done + 1)


def linear(config: RunConfig, done: int) -> float:
    """1 / (1 - k / K) at update k of K, counted from 0; k stops at K - 1."""
    updates = -(-config.horizon(done) // config.batch_size)
    return 1.0 / (1.0 - min(done, updates - 1) / updates)
