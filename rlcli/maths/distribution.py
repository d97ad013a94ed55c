"""Base class of action distributions, with automatic derivatives.

Shapes: `...` is any batch shape, R runs, B states. Divergences are in nats.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple, Self

import torch
from torch import Tensor

from rlcli.maths.differentiate import gradients, hessian_product, outside


class Divergences(NamedTuple):
    """How two distributions differ at each state, each of shape `...`."""

    forward: Tensor
    """KL(self || other)."""
    backward: Tensor
    """KL(other || self)."""
    tv: Tensor | None
    """Total variation, None where it has no closed form."""


class Distribution(ABC):
    """A distribution over actions at each state of a batch.

    It is made of outputs [R, B, D] of a network and free parameters [R, 1, F]. Derivatives with respect to
    these are automatic here; a kind of distribution writes out the ones that training takes often.
    """

    @property
    @abstractmethod
    def outputs(self) -> tuple[Tensor, Tensor]:
        """The outputs and free parameters it is made of."""

    @abstractmethod
    def like(self, output: Tensor, free: Tensor) -> Self:
        """The same kind of distribution made of others."""

    @abstractmethod
    def log_prob(self, actions: Tensor) -> Tensor:
        """log π(a|s), shape `...`."""

    @abstractmethod
    def entropy(self) -> Tensor:
        """H(π(.|s)), shape `...`; differential, hence possibly negative, for continuous actions."""

    @abstractmethod
    def kl(self, other: Self) -> Tensor:
        """KL(self || other) at each state, exactly, shape `...`."""

    def tv(self, other: Self) -> Tensor | None:
        """Total variation at each state, or None where it has no closed form."""
        return None

    def divergences(self, other: Self) -> Divergences:
        """Both KLs and the total variation, which may share most of their computation."""
        return Divergences(self.kl(other), other.kl(self), self.tv(other))

    def double(self) -> Self:
        """The same distribution in float64."""
        output, free = self.outputs
        return self.like(output.double(), free.double())

    def pullback(
        self, actions: Tensor, by_log_prob: Tensor, by_entropy: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The gradient with respect to outputs and free parameters, [R, B, D] and [R, 1, F].

        Of any function of log π(a|s) and H(π(.|s)), from its gradients `by_log_prob` and `by_entropy` (None:
        0) with respect to them, each [R, B].
        """
        taken, slope = outside(actions), outside(by_log_prob)
        by_spread = None if by_entropy is None else outside(by_entropy)

        def total(output: Tensor, free: Tensor) -> Tensor:
            policy = self.like(output, free)
            found = (slope * policy.log_prob(taken)).sum()
            return found if by_spread is None else found + (by_spread * policy.entropy()).sum()

        return self._gradient(total)

    def pullback_kl_from(self, other: Self, by_kl: Tensor) -> tuple[Tensor, Tensor]:
        """As `pullback`, of any function of the exact KL(other || self), from its gradient `by_kl` [R, B].

        `other` is a constant; at other = self the result is 0.
        """
        constant, slope = other._outside(), outside(by_kl)
        return self._gradient(lambda output, free: (slope * constant.kl(self.like(output, free))).sum())

    def pullback_kl_to(self, other: Self, by_kl: Tensor) -> tuple[Tensor, Tensor]:
        """As `pullback_kl_from`, of any function of the exact KL(self || other)."""
        constant, slope = other._outside(), outside(by_kl)
        return self._gradient(lambda output, free: (slope * self.like(output, free).kl(constant)).sum())

    def fisher(self, output: Tensor, free: Tensor) -> tuple[Tensor, Tensor]:
        """The Fisher matrix of each state times a tangent of outputs and free parameters.

        F(s) = E_a[∇log π(a|s) ∇log π(a|s)ᵀ], the Hessian of either KL at π. Takes [R, B, D] and [R, 1, F] and
        gives the same shapes. What it gives for free parameters, which all states share, is one state's part:
        the mean over states, as `output` / B is for outputs.
        """
        constant = self._outside()
        by_output, by_free = hessian_product(
            lambda *moved: constant.kl(self.like(*moved)).sum(), self.outputs, (output, free)
        )
        return by_output, by_free / output.shape[1]

    def _gradient(self, total: Callable[[Tensor, Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        by_output, by_free = gradients(total, self.outputs)
        return by_output, by_free

    def _outside(self) -> Self:
        """The same distribution, of copies that a graph may keep."""
        return self.like(*map(outside, self.outputs))


def nothing_free(outputs: Tensor) -> Tensor:
    """Free parameters, or their gradient, [R, 1, 0] of a kind without, from outputs [R, B, D]."""
    return torch.empty(outputs.shape[0], 1, 0, dtype=outputs.dtype, device=outputs.device)
