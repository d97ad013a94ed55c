"""Gaussian policies beyond free deviations: deviations of the state, and actions squashed into bounds.

Shapes: `...` is any batch shape, R runs, B states, A action dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from rlcli.maths.distribution import Distribution, Divergences, nothing_free
from rlcli.maths.distributions import Array, DiagonalGaussian, Gaussian, GaussianFamily
from rlcli.maths.squash import expected_log_slope, log_slope, slopes_of_expectation

LOWEST, HIGHEST = -20.0, 2.0
"""Range of log deviations that depend on the state, as in Haarnoja et al. 2018, 'Soft Actor-Critic'."""


@dataclass(frozen=True)
class StateGaussian(Gaussian):
    """π(a|s) = Π_i N(a_i; mean_i(s), exp(log_std_i(s))²), log_std = clip(l(s) + start, -20, 2).

    Outside of that range the derivative by l is 0.
    """

    output: Tensor
    """[..., 2 A]: means, then l."""
    start: float = 0.0
    """Log deviation where l is 0."""

    @property
    def outputs(self) -> tuple[Tensor, Tensor]:
        """Means and l; nothing is free."""
        return self.output, nothing_free(self.output)

    def like(self, output: Tensor, free: Tensor) -> StateGaussian:
        """Of these means and l."""
        return StateGaussian(output, self.start)

    def moments(self) -> tuple[Tensor, Tensor]:
        """Means and log deviations, both [..., A]."""
        return self.mean, self.log_std

    @property
    def mean(self) -> Tensor:
        """[..., A]."""
        return self.output[..., : self._width]

    @cached_property
    def log_std(self) -> Tensor:
        """[..., A]."""
        return self._unclipped.clamp(LOWEST, HIGHEST)

    @cached_property
    def gaussian(self) -> DiagonalGaussian:
        """The same with its log deviations as they are at these states."""
        return DiagonalGaussian(self.mean, self.log_std)

    def log_prob(self, actions: Tensor) -> Tensor:
        """log π(a|s) for actions [..., A]."""
        return self.gaussian.log_prob(actions)

    def entropy(self) -> Tensor:
        """H = Σ_i (log σ_i + ½ log 2πe)."""
        return self.gaussian.entropy()

    def kl(self, other: StateGaussian) -> Tensor:
        """KL(self||other), as `DiagonalGaussian`."""
        return self.gaussian.kl(other.gaussian)

    def pullback(
        self, actions: Tensor, by_log_prob: Tensor, by_entropy: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """As `DiagonalGaussian`, without the sum over states."""
        by_mean, by_log_std = self.gaussian.slopes(actions, by_log_prob.unsqueeze(-1))
        if by_entropy is not None:
            by_log_std = by_log_std + by_entropy.unsqueeze(-1)
        return self.pulled(by_mean, by_log_std)

    def pullback_kl_from(self, other: StateGaussian, by_kl: Tensor) -> tuple[Tensor, Tensor]:
        """As `DiagonalGaussian`, without the sum over states."""
        return self.pulled(*self.gaussian.slopes_kl_from(other.gaussian, by_kl.unsqueeze(-1)))

    def pullback_kl_to(self, other: StateGaussian, by_kl: Tensor) -> tuple[Tensor, Tensor]:
        """As `DiagonalGaussian`, without the sum over states."""
        taken = by_kl.unsqueeze(-1)
        by_mean, widening = self.gaussian.slopes_kl_to(other.gaussian, taken)
        return self.pulled(by_mean, taken * widening)

    def fisher(self, output: Tensor, free: Tensor) -> tuple[Tensor, Tensor]:
        """F = diag(1/σ²) for means, 2 for l where it is not clipped, 0 between them."""
        means, spreads = output[..., : self._width], output[..., self._width :]
        return self.pulled(means * torch.exp(-2.0 * self.log_std), 2.0 * spreads)

    def pulled(self, by_mean: Tensor, by_log_std: Tensor) -> tuple[Tensor, Tensor]:
        """A gradient by means and log deviations, each [R, B, A], as one by outputs."""
        by_raw = torch.where(self._unclipped == self.log_std, by_log_std, 0.0)
        return torch.cat((by_mean, by_raw), -1), nothing_free(by_mean)

    @property
    def _width(self) -> int:
        return self.output.shape[-1] // 2

    @cached_property
    def _unclipped(self) -> Tensor:
        return self.output[..., self._width :] + self.start


@dataclass(frozen=True)
class Squashed(Distribution):
    """Actions a = squash(u) (`squash.py`) of u that a Gaussian draws; what is stored of an action is u.

    Log-probabilities are those of u: squashing changes them by what depends on the action alone
    (`log_density`). Divergences and Fisher matrix are the Gaussian's. The entropy is that of a.
    """

    base: Gaussian
    log_scale: float
    """Σ_i log((high_i - low_i) / 2)."""

    @property
    def outputs(self) -> tuple[Tensor, Tensor]:
        """Those of the Gaussian."""
        return self.base.outputs

    def like(self, output: Tensor, free: Tensor) -> Squashed:
        """Of another Gaussian."""
        return Squashed(self.base.like(output, free), self.log_scale)

    def log_prob(self, actions: Tensor) -> Tensor:
        """log π(u|s) for u [..., A]."""
        return self.base.log_prob(actions)

    @cached_property
    def _entropy(self) -> Tensor:
        mean, log_std = self.base.moments()
        return self.base.entropy() + expected_log_slope(mean, log_std.exp()).sum(-1) + self.log_scale

    def entropy(self) -> Tensor:
        """H(a) = H(u) + Σ_i E[log(1 - tanh² u_i)] + Σ_i log((high_i - low_i) / 2)."""
        return self._entropy

    def log_density(self, actions: Tensor) -> Tensor:
        """log π(a|s) of the actions that u [..., A] become, per unit of the environment's."""
        return self.log_prob(actions) - log_slope(actions).sum(-1) - self.log_scale

    def kl(self, other: Squashed) -> Tensor:
        """KL(self||other), which no bijection changes."""
        return self.base.kl(other.base)

    def divergences(self, other: Squashed) -> Divergences:
        """Both KLs."""
        return Divergences(self.kl(other), other.kl(self), None)

    def pullback(
        self, actions: Tensor, by_log_prob: Tensor, by_entropy: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The Gaussian's own, and through the expectation that squashing adds to the entropy."""
        found = self.base.pullback(actions, by_log_prob, by_entropy)
        if by_entropy is None:
            return found
        spread = by_entropy.unsqueeze(-1)
        mean, log_std = self.base.moments()
        by_mean, by_log_std = slopes_of_expectation(mean, log_std.exp())
        added = self.base.pulled(spread * by_mean, spread * by_log_std)
        return found[0] + added[0], found[1] + added[1]

    def pullback_kl_from(self, other: Squashed, by_kl: Tensor) -> tuple[Tensor, Tensor]:
        """The Gaussian's own."""
        return self.base.pullback_kl_from(other.base, by_kl)

    def pullback_kl_to(self, other: Squashed, by_kl: Tensor) -> tuple[Tensor, Tensor]:
        """The Gaussian's own."""
        return self.base.pullback_kl_to(other.base, by_kl)

    def fisher(self, output: Tensor, free: Tensor) -> tuple[Tensor, Tensor]:
        """The Gaussian's own."""
        return self.base.fisher(output, free)


@dataclass(frozen=True)
class StateGaussianFamily:
    """`width` real numbers; the head outputs means and, less `start`, log deviations."""

    width: int
    start: float = 0.0
    """Log deviation where the head's output is 0."""
    free_width = 0

    @property
    def output_width(self) -> int:
        """A mean and a log deviation a dimension."""
        return 2 * self.width

    def distribution(self, output: Tensor, free: Tensor) -> StateGaussian:
        """Outputs are means and l."""
        return StateGaussian(output, self.start)

    def noise(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Standard normal noise."""
        return GaussianFamily(self.width).noise(shape, generator)

    def act(self, output: Array, free: Array, noise: Array | None) -> Array:
        """mean + σ noise."""
        mean = output[..., : self.width]
        log_std = np.clip(output[..., self.width :] + np.float32(self.start), LOWEST, HIGHEST)
        return mean if noise is None else mean + np.exp(log_std) * noise


@dataclass(frozen=True)
class SquashedFamily:
    """Numbers of a Gaussian family that are squashed into bounds on their way to the environment."""

    base: GaussianFamily | StateGaussianFamily
    log_scale: float
    """Σ_i log((high_i - low_i) / 2)."""

    @property
    def output_width(self) -> int:
        """The Gaussian's."""
        return self.base.output_width

    @property
    def free_width(self) -> int:
        """The Gaussian's."""
        return self.base.free_width

    def distribution(self, output: Tensor, free: Tensor) -> Squashed:
        """The Gaussian's, squashed."""
        return Squashed(self.base.distribution(output, free), self.log_scale)

    def noise(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Standard normal noise."""
        return self.base.noise(shape, generator)

    def act(self, output: Array, free: Array, noise: Array | None) -> Array:
        """u, which `ActionSpec.to_env` squashes."""
        return self.base.act(output, free, noise)
