"""What an update measures of policies and samples, in C: the figures of `comparison.py`.

Shapes: R runs, B samples, S gradient steps, P parameters, Q those of a part.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from typing import Self

import torch
from torch import Tensor

from rlcli.kernels import distributions, elementary, figures, health, learn, pareto, steps
from rlcli.kernels.distributions import ExactPolicy
from rlcli.kernels.learn import ActionKind
from rlcli.learner.algorithm import Improvement, Start
from rlcli.learner.comparison import Comparison
from rlcli.maths.distribution import Distribution
from rlcli.maths.distributions import Categorical, DiagonalGaussian
from rlcli.maths.factored import Bernoulli, MultiCategorical
from rlcli.nets.network import ACTOR, Network


class KernelPolicy:
    """A policy measured by the kernels."""

    def __init__(self, distribution: Distribution, actions: Tensor) -> None:
        output, free = distribution.outputs
        self._exact = distributions.read(
            kind_of(distribution), output.contiguous(), free.contiguous(), actions.contiguous()
        )

    @property
    def exact(self) -> ExactPolicy:
        """What C keeps of it."""
        return self._exact

    @cached_property
    def kept(self) -> Tensor:
        """See `Measured`: float64 rounded once."""
        return self._exact.log_prob.float()

    @property
    def log_prob(self) -> Tensor:
        """See `Measured`."""
        return self._exact.log_prob

    @property
    def entropy(self) -> Tensor:
        """See `Measured`."""
        return self._exact.entropy

    def mean_kl(self, reference: Self) -> Tensor:
        """See `Measured`."""
        return health.mean_kl(reference.exact, self._exact)

    def divergence(self, reference: Self, weights: Tensor | None) -> dict[str, Tensor]:
        """See `Measured`."""
        return health.divergence(reference.exact, self._exact, weights)

    def health(
        self, reference: Self, weights: Tensor | None, advantages: Tensor, clip: Tensor | None
    ) -> dict[str, Tensor]:
        """See `Measured`."""
        return health.health(reference.exact, self._exact, weights, advantages, clip)


def comparison(surrogate: int) -> Comparison:
    """The comparison of a row with this surrogate of `kernels/learn.py`."""
    return Comparison(
        measured=KernelPolicy,
        ratios=elementary.exp,
        gain=partial(_gain, surrogate),
        explained_variance=figures.explained_variance,
        khat=pareto.khat,
        first_order=_first_order,
        step_figures=_step_figures,
        finite=steps.all_finite,
        acting_error=lambda *outputs: figures.acting_error(*(each.contiguous() for each in outputs)),
        equal=figures.unit_ratios,
    )


def _first_order(network: Network, gradient: Tensor, before: Tensor, after: Tensor) -> Tensor:
    return steps.first_order(gradient, network.parts[ACTOR], before, after, network.order)


def _step_figures(
    improvement: Improvement, spent: Tensor, budget: Tensor, settings: Sequence[Tensor]
) -> Tensor:
    columns = [column.contiguous() for column in (*improvement.losses, improvement.gradient_norms)]
    accepted = improvement.accepted.contiguous()
    return steps.step_figures(columns, accepted, improvement.epochs, spent, budget.contiguous(), settings)


def kind_of(distribution: Distribution) -> ActionKind:
    """How C reads the outputs of a distribution."""
    width = distribution.outputs[0].shape[-1]
    match distribution:
        case Categorical():
            return ActionKind(learn.CATEGORICAL, (width,))
        case MultiCategorical():
            return ActionKind(learn.CATEGORICAL, distribution.sizes)
        case Bernoulli():
            return ActionKind(learn.BERNOULLI, (1,) * width)
        case DiagonalGaussian():
            return ActionKind(learn.GAUSSIAN, (1,) * width)
    raise TypeError(f"no kernel for {type(distribution).__name__}")


def _gain(surrogate: int, start: Start, before: Tensor, after: Tensor, base: Tensor) -> Tensor:
    return figures.gain(
        surrogate,
        before,
        after,
        base,
        start.objective_advantages,
        start.hyper.clip if surrogate in (learn.CLIPPED, learn.SPO) else torch.empty(0),
        start.batch.weights,
    )
