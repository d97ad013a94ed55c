"""Action distributions as values: log-probabilities, entropies, exact divergences.

Shapes: `...` is any batch shape, A the number of actions (categorical) or of action dimensions (Gaussian).
Divergences are in nats. A family names what a network must output and turns outputs into distributions.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rlcli.maths.distribution import Distribution, Divergences, nothing_free
from rlcli.maths.small_moves import changes, kl_terms

Array = npt.NDArray[Any]

LOG_2PI = math.log(2.0 * math.pi)


@dataclass(frozen=True)
class Categorical(Distribution):
    """pi(a|s) = softmax(logits)_a."""

    logits: Tensor
    """[..., A], unnormalised."""

    @property
    def outputs(self) -> tuple[Tensor, Tensor]:
        """Logits; nothing is free."""
        return self.logits, nothing_free(self.logits)

    def like(self, output: Tensor, free: Tensor) -> Categorical:
        """Of these logits."""
        return Categorical(output)

    @cached_property
    def log_probs(self) -> Tensor:
        """Normalised logits, [..., A]: l - max l - log Σ exp(l - max l).

        Written out, since torch's own is slow on a few actions and wants them side by side in memory.
        """
        shifted = self.logits - self.logits.amax(-1, keepdim=True)
        return shifted - shifted.exp().sum(-1, keepdim=True).log_()

    @cached_property
    def probs(self) -> Tensor:
        """π(a|s), [..., A]."""
        return self.log_probs.exp()

    @cached_property
    def _entropy(self) -> Tensor:
        return -(self.probs * self.log_probs).sum(-1)

    def log_prob(self, actions: Tensor) -> Tensor:
        """log pi(a|s) for integer actions of shape `...`."""
        return self.log_probs.gather(-1, actions.unsqueeze(-1)).squeeze(-1)

    def entropy(self) -> Tensor:
        """H = -Σ_a π(a) log π(a)."""
        return self._entropy

    def kl(self, other: Categorical) -> Tensor:
        """KL(self||other) = Σ_a π(a) (log π(a) - log π'(a)), without cancellation (`small_moves`)."""
        return kl_terms(self.probs, other.probs, other.log_probs - self.log_probs).sum(-1)

    def tv(self, other: Categorical) -> Tensor:
        """TV = ½ Σ_a |π(a) - π'(a)|."""
        return 0.5 * changes(self.probs, other.probs, other.log_probs - self.log_probs).abs().sum(-1)

    def divergences(self, other: Categorical) -> Divergences:
        """By d = log π' - log π and π' - π, once for all three."""
        d = other.log_probs - self.log_probs
        change = changes(self.probs, other.probs, d)
        forward, backward = change - self.probs * d, other.probs * d - change
        return Divergences(forward.sum(-1), backward.sum(-1), 0.5 * change.abs().sum(-1))

    def pullback(
        self, actions: Tensor, by_log_prob: Tensor, by_entropy: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """∂ log π(a)/∂ logit_j = 1[j = a] - π(j);  ∂ H/∂ logit_j = -π(j) (log π(j) + H)."""
        taken = by_log_prob.unsqueeze(-1)
        for_logits = (self.probs * -taken).scatter_add_(-1, actions.unsqueeze(-1), taken)
        if by_entropy is not None:
            pulled = self.probs * (self.log_probs + self._entropy.unsqueeze(-1))
            for_logits -= by_entropy.unsqueeze(-1) * pulled
        return for_logits, nothing_free(for_logits)

    def pullback_kl_from(self, other: Categorical, by_kl: Tensor) -> tuple[Tensor, Tensor]:
        """∂ KL(π'||π)/∂ logit_j = π(j) - π'(j)."""
        for_logits = by_kl.unsqueeze(-1) * (self.probs - other.probs)
        return for_logits, nothing_free(for_logits)

    def pullback_kl_to(self, other: Categorical, by_kl: Tensor) -> tuple[Tensor, Tensor]:
        """∂ KL(π||π')/∂ logit_j = π(j) (log π(j) - log π'(j) - KL(π||π'))."""
        log_ratio = self.log_probs - other.log_probs
        kl = (self.probs * log_ratio).sum(-1, keepdim=True)
        for_logits = by_kl.unsqueeze(-1) * self.probs * (log_ratio - kl)
        return for_logits, nothing_free(for_logits)

    def fisher(self, output: Tensor, free: Tensor) -> tuple[Tensor, Tensor]:
        """F = diag(π) - π πᵀ, hence (F v)_j = π(j) (v_j - Σ_a π(a) v_a)."""
        mean = (self.probs * output).sum(-1, keepdim=True)
        return self.probs * (output - mean), free


class Gaussian(Distribution):
    """Independent normal distributions of A numbers."""

    @abstractmethod
    def moments(self) -> tuple[Tensor, Tensor]:
        """Means and log deviations, both [..., A]."""

    @abstractmethod
    def pulled(self, by_mean: Tensor, by_log_std: Tensor) -> tuple[Tensor, Tensor]:
        """A gradient by means and log deviations of each state, as one by outputs and free parameters.

        Takes [R, B, A] twice, gives [R, B, D] and [R, 1, F].
        """


@dataclass(frozen=True)
class DiagonalGaussian(Gaussian):
    """π(a|s) = Π_i N(a_i; mean_i(s), exp(log_std_i)^2); the density is of the raw, unclipped action.

    Total variation is closed only for equal deviations (`gaussian_tv`), which a learned policy never has.
    """

    mean: Tensor
    """[..., A]."""
    log_std: Tensor
    """Broadcastable to [..., A]."""

    @property
    def outputs(self) -> tuple[Tensor, Tensor]:
        """Means and log deviations."""
        return self.mean, self.log_std

    def like(self, output: Tensor, free: Tensor) -> DiagonalGaussian:
        """Of these means and log deviations."""
        return DiagonalGaussian(output, free)

    def moments(self) -> tuple[Tensor, Tensor]:
        """Means, and log deviations as each state has them."""
        return self.mean, self.log_std.expand_as(self.mean)

    def pulled(self, by_mean: Tensor, by_log_std: Tensor) -> tuple[Tensor, Tensor]:
        """Means are outputs; all states share the log deviations."""
        return by_mean, by_log_std.sum(1, keepdim=True)

    def log_prob(self, actions: Tensor) -> Tensor:
        """log π(a|s) = -½ Σ_i (z_i^2 + 2 log σ_i + log 2π), z = (a - mean)/σ, for actions [..., A]."""
        z = (actions - self.mean) * torch.exp(-self.log_std)
        return (-0.5 * (z * z + LOG_2PI) - self.log_std).sum(-1)

    def entropy(self) -> Tensor:
        """H = Σ_i (log σ_i + ½ log 2πe)."""
        return (self.log_std + 0.5 * (LOG_2PI + 1.0)).expand_as(self.mean).sum(-1)

    def kl(self, other: DiagonalGaussian) -> Tensor:
        """KL(self||other) = Σ_i (log σ'/σ + (σ^2 + (m - m')^2)/(2 σ'^2) - ½).

        As ½ Σ_i (exp(r) - 1 - r + ((m - m')/σ')^2), r = 2 log σ/σ': what a mean that moves adds to what a
        deviation does is not lost beside 1.
        """
        log_ratio = 2.0 * (self.log_std - other.log_std)
        widening = torch.expm1(log_ratio) - log_ratio
        distance = (self.mean - other.mean) * torch.exp(-other.log_std)
        return (0.5 * (widening + distance * distance)).sum(-1)

    def pullback(
        self, actions: Tensor, by_log_prob: Tensor, by_entropy: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """∂ log π(a)/∂ mean = z/σ, ∂ log π(a)/∂ log σ = z² - 1, z = (a - mean)/σ;  ∂ H/∂ log σ = 1."""
        for_mean, for_free = self.pulled(*self.slopes(actions, by_log_prob.unsqueeze(-1)))
        if by_entropy is not None:
            for_free += by_entropy.sum(-1).view(-1, 1, 1)
        return for_mean, for_free

    def slopes(self, actions: Tensor, taken: Tensor) -> tuple[Tensor, Tensor]:
        """Derivatives of log π(a), times `taken` [..., 1], by means and log deviations of each state."""
        inverse = torch.exp(-self.log_std)
        z = (actions - self.mean) * inverse
        return taken * z * inverse, taken * (z * z - 1.0)

    def pullback_kl_from(self, other: DiagonalGaussian, by_kl: Tensor) -> tuple[Tensor, Tensor]:
        """∂ KL(π'||π)/∂ mean = (m - m')/σ², ∂ KL(π'||π)/∂ log σ = 1 - (σ'² + (m - m')²)/σ²."""
        return self.pulled(*self.slopes_kl_from(other, by_kl.unsqueeze(-1)))

    def slopes_kl_from(self, other: DiagonalGaussian, taken: Tensor) -> tuple[Tensor, Tensor]:
        """As `slopes`, of KL(π'||π)."""
        inverse = torch.exp(-self.log_std)
        distance = (self.mean - other.mean) * inverse
        widening = torch.expm1(2.0 * (other.log_std - self.log_std))
        return taken * distance * inverse, -(taken * (widening + distance * distance))

    def pullback_kl_to(self, other: DiagonalGaussian, by_kl: Tensor) -> tuple[Tensor, Tensor]:
        """∂ KL(π||π')/∂ mean = (m - m')/σ'², ∂ KL(π||π')/∂ log σ = σ²/σ'² - 1."""
        by_mean, widening = self.slopes_kl_to(other, by_kl.unsqueeze(-1))
        return by_mean, by_kl.sum(-1).view(-1, 1, 1) * widening

    def slopes_kl_to(self, other: DiagonalGaussian, taken: Tensor) -> tuple[Tensor, Tensor]:
        """As `slopes`, of KL(π||π'); the derivative by the log deviation is not multiplied by `taken` yet."""
        precision = torch.exp(-2.0 * other.log_std)
        widening = torch.expm1(2.0 * (self.log_std - other.log_std))
        return taken * (self.mean - other.mean) * precision, widening

    def fisher(self, output: Tensor, free: Tensor) -> tuple[Tensor, Tensor]:
        """F = diag(1/σ²) for means, 2 for log deviations, 0 between them."""
        return output * torch.exp(-2.0 * self.log_std), 2.0 * free


def gaussian_tv(distance: Tensor) -> Tensor:
    """TV of two Gaussians of equal covariance at Mahalanobis distance d: 2 Φ(d/2) - 1 = erf(d/(2√2))."""
    return torch.erf(distance / (2.0 * math.sqrt(2.0)))


class Family(Protocol):
    """What a policy network must provide for one kind of action space."""

    @property
    def output_width(self) -> int:
        """Outputs of the policy head per state."""

    @property
    def free_width(self) -> int:
        """Parameters of the distribution that do not depend on the state."""

    def distribution(self, output: Tensor, free: Tensor) -> Distribution:
        """Outputs [R, B, output_width] and free parameters [R, 1, free_width] as a distribution."""

    def noise(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Float32 noise [*shape, width] that `act` turns into actions."""

    def act(self, output: Array, free: Array, noise: Array | None) -> Array:
        """The actions that the noise selects; without noise the most probable ones, the lowest on ties."""


@dataclass(frozen=True)
class CategoricalFamily:
    """One of `actions` actions; the head outputs logits."""

    actions: int
    free_width = 0

    @property
    def output_width(self) -> int:
        """One logit an action."""
        return self.actions

    def distribution(self, output: Tensor, free: Tensor) -> Categorical:
        """Outputs are logits."""
        return Categorical(output)

    def noise(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Standard Gumbel noise: -log of an exponential draw."""
        return torch.empty(*shape, self.actions).exponential_(generator=generator).log_().neg_()

    def act(self, output: Array, free: Array, noise: Array | None) -> Array:
        """argmax_a (logit_a + Gumbel noise_a), distributed as softmax(logits) (Gumbel 1954)."""
        chosen: Array = (output if noise is None else output + noise).argmax(-1)
        return chosen


@dataclass(frozen=True)
class GaussianFamily:
    """`width` real numbers; the head outputs means, log deviations are free parameters."""

    width: int

    @property
    def output_width(self) -> int:
        """One mean a dimension."""
        return self.width

    @property
    def free_width(self) -> int:
        """One log standard deviation a dimension."""
        return self.width

    def distribution(self, output: Tensor, free: Tensor) -> DiagonalGaussian:
        """Outputs are means, free parameters log deviations."""
        return DiagonalGaussian(output, free)

    def noise(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Standard normal noise."""
        return torch.empty(*shape, self.width).normal_(generator=generator)

    def act(self, output: Array, free: Array, noise: Array | None) -> Array:
        """mean + σ noise."""
        return output if noise is None else output + np.exp(free) * noise
