"""What an update measures of policies and samples, in torch; `kernel_comparison.py` has the same in C.

Shapes: T time, R runs, N environments, B = T N samples, D outputs, S gradient steps. Policies are compared
in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

import torch
from torch import Tensor

from rlcli.learner.batch import by_run
from rlcli.maths.distribution import Distribution
from rlcli.maths.health import clip_figures, divergence, effective_sample_size, explained_variance, health
from rlcli.maths.pareto import khat
from rlcli.nets.network import ACTOR, Network, in_order

if TYPE_CHECKING:
    from rlcli.learner.algorithm import Improvement, Start

ACTING_TOLERANCE = 1e-4
"""Largest relative difference of policy outputs while acting and in the batch: float32 rounding, no more."""


class Measured(Protocol):
    """A policy on the states and actions of a batch."""

    @property
    def kept(self) -> Tensor:
        """Log-probabilities [R, B] of the actions taken as the batch keeps them, in float32."""

    @property
    def log_prob(self) -> Tensor:
        """The same in float64."""

    @property
    def entropy(self) -> Tensor:
        """The mean entropy, [R]."""

    def mean_kl(self, reference: Self) -> Tensor:
        """The mean exact KL(reference||self), [R]."""

    def divergence(self, reference: Self, weights: Tensor | None) -> dict[str, Tensor]:
        """The figures of each epoch, as in `maths/health.py`."""

    def health(
        self, reference: Self, weights: Tensor | None, advantages: Tensor, clip: Tensor | None
    ) -> dict[str, Tensor]:
        """All figures, as in `maths/health.py`; with `clip` [R, 1] those of clipping."""


class Comparison(NamedTuple):
    """One implementation of what is measured."""

    measured: Callable[[Distribution, Tensor], Measured]
    """A policy and the actions [R, B, ...] taken."""
    ratios: Callable[[Tensor], Tensor]
    """exp of log-ratios [R, B]."""
    gain: Callable[[Start, Tensor, Tensor, Tensor], Tensor]
    """(start, log-probabilities [R, B] before, after, under the anchor) -> growth of the objective, [R]."""
    explained_variance: Callable[[Tensor, Tensor], Tensor]
    """(values, targets [R, B]) -> share [R], as in `maths/health.py`."""
    khat: Callable[[Tensor], Tensor]
    """Log-ratios [R, B] -> Pareto k-hat [R], as in `maths/pareto.py`."""
    first_order: Callable[[Network, Tensor, Tensor, Tensor], Tensor]
    """(network, gradient [R, Q] of the actor's part, parameters [R, P] before, after) -> the growth of an
    objective to first order, [R]."""
    step_figures: Callable[[Improvement, Tensor, Tensor, Sequence[Tensor]], Tensor]
    """(improvement, KL spent [R], budget [R], L settings [R, 1]) -> float64 [10 + L, R], NaN where infinite:
    over the steps taken the mean of each loss and of the norm, the largest norm, the number of steps; of
    epochs; spent/budget; the settings."""
    finite: Callable[[Tensor], Tensor]
    """Whether all of [R, K] are finite, [R]."""
    acting_error: Callable[[Tensor, Tensor], Tensor]
    """The largest relative difference [R] of outputs while acting [T, R, N, D] and in the batch [R, B, D]."""
    equal: Callable[[Tensor, Tensor], Tensor]
    """(initial, acting log-probabilities [R, B]) -> mask [R]: every ratio is 1, or one is not finite."""


class TorchPolicy:
    """A policy measured by torch."""

    def __init__(self, distribution: Distribution, actions: Tensor) -> None:
        self._given, self._actions = distribution, actions

    @cached_property
    def exact(self) -> Distribution:
        """The policy in float64."""
        return self._given.double()

    @cached_property
    def kept(self) -> Tensor:
        """See `Measured`."""
        return self._given.log_prob(self._actions)

    @cached_property
    def log_prob(self) -> Tensor:
        """See `Measured`."""
        return self.exact.log_prob(self._actions)

    @property
    def entropy(self) -> Tensor:
        """See `Measured`."""
        return self.exact.entropy().mean(-1)

    def mean_kl(self, reference: Self) -> Tensor:
        """See `Measured`."""
        return reference.exact.kl(self.exact).mean(-1)

    def divergence(self, reference: Self, weights: Tensor | None) -> dict[str, Tensor]:
        """See `Measured`."""
        return divergence(reference.exact, self.exact, self.log_prob - reference.log_prob, weights)

    def health(
        self, reference: Self, weights: Tensor | None, advantages: Tensor, clip: Tensor | None
    ) -> dict[str, Tensor]:
        """See `Measured`."""
        log_ratio = self.log_prob - reference.log_prob
        figures = health(reference.exact, self.exact, log_ratio, weights)
        if clip is not None:
            figures |= clip_figures(log_ratio, advantages.double(), clip.double(), weights)
        return figures


def gain(start: Start, before: Tensor, after: Tensor, base: Tensor) -> Tensor:
    """See `Comparison`; by the values of the surrogate."""
    first, last = (
        start.algorithm.surrogate(log_prob, base, start.objective_advantages, start.hyper).value
        for log_prob in (before, after)
    )
    return start.batch.weighted(last - first).mean(-1)


def first_order(network: Network, gradient: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """See `Comparison`."""
    move = (after - before).double()
    grown, actor = torch.zeros_like(move), network.parts[ACTOR]
    grown[:, actor] = gradient.double() * move[:, actor]
    return in_order(network, grown).sum(-1)


def step_figures(
    improvement: Improvement, spent: Tensor, budget: Tensor, settings: Sequence[Tensor]
) -> Tensor:
    """See `Comparison`."""
    accepted, norms = improvement.accepted.double(), improvement.gradient_norms.double()
    of_steps = accepted * torch.stack((*improvement.losses, norms, torch.ones_like(norms)))
    *sums, count = (each.sum(0) for each in of_steps)
    most = torch.where(improvement.accepted, norms, -math.inf).amax(0)
    epochs = torch.stack(improvement.epochs).double().sum(0)
    others = (setting.squeeze(-1).double() for setting in settings)
    found = torch.stack(
        (*(torch.stack(sums) / count).unbind(0), most, count, epochs, spent / budget, *others)
    )
    return torch.where(found.isfinite(), found, math.nan)


def acting_error(acted: Tensor, recomputed: Tensor) -> Tensor:
    """See `Comparison`."""
    difference = (by_run(acted) - recomputed).abs() / (1.0 + recomputed.abs())
    return difference.flatten(1).amax(-1)


def equal(initial: Tensor, acting: Tensor) -> Tensor:
    """See `Comparison`."""
    log_ratio = (initial - acting).double()
    # Elsewhere than on the CPU, products that are stacked otherwise may round otherwise.
    allowed = 0.0 if log_ratio.is_cpu else ACTING_TOLERANCE
    one = (log_ratio.abs() <= allowed).all(-1)
    one &= effective_sample_size(log_ratio) >= 1.0 - allowed
    return one | ~log_ratio.isfinite().all(-1)


TORCH = Comparison(
    measured=TorchPolicy,
    ratios=lambda log_ratios: log_ratios.exp(),
    gain=gain,
    explained_variance=lambda values, targets: explained_variance(values.double(), targets.double()),
    khat=khat,
    first_order=first_order,
    step_figures=step_figures,
    finite=lambda values: values.isfinite().all(-1),
    acting_error=acting_error,
    equal=equal,
)
