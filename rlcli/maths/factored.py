"""Factored action distributions: independent categorical (MultiDiscrete) and Bernoulli (MultiBinary) choices.

The factors of an action are independent given the state, so that log-probabilities, entropies and KL
divergences are sums over factors and the ratio of two policies is the product of theirs. Total variation is
not a sum; exact values would need all joint actions, so there is none.

Shapes: `...` is any batch shape, A the number of factors, K the sum of their sizes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import add

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from rlcli.maths.distribution import Distribution, Divergences, nothing_free
from rlcli.maths.distributions import Array, Categorical, CategoricalFamily
from rlcli.maths.small_moves import kl_terms


@dataclass(frozen=True)
class MultiCategorical(Distribution):
    """π(a|s) = Π_i softmax(logits_i)_{a_i}, factor i with `sizes[i]` choices.

    Each factor is a `Categorical` of its own, so none is padded to the size of another.
    """

    logits: Tensor
    """[..., K], the factors' logits side by side, unnormalised."""
    sizes: tuple[int, ...]

    @property
    def outputs(self) -> tuple[Tensor, Tensor]:
        """Logits; nothing is free."""
        return self.logits, nothing_free(self.logits)

    def like(self, output: Tensor, free: Tensor) -> MultiCategorical:
        """Of these logits."""
        return MultiCategorical(output, self.sizes)

    @cached_property
    def factors(self) -> tuple[Categorical, ...]:
        """Each factor's distribution."""
        return tuple(Categorical(part) for part in self._parts(self.logits))

    def log_prob(self, actions: Tensor) -> Tensor:
        """log π(a|s) = Σ_i log π_i(a_i|s) for integer actions [..., A]."""
        return _sum([one.log_prob(actions[..., i]) for i, one in enumerate(self.factors)])

    def entropy(self) -> Tensor:
        """H(π) = Σ_i H(π_i)."""
        return _sum([one.entropy() for one in self.factors])

    def kl(self, other: MultiCategorical) -> Tensor:
        """KL(π||π') = Σ_i KL(π_i||π'_i)."""
        return _sum([one.kl(two) for one, two in zip(self.factors, other.factors, strict=True)])

    def divergences(self, other: MultiCategorical) -> Divergences:
        """Both KLs, sums over factors."""
        pairs = [one.divergences(two) for one, two in zip(self.factors, other.factors, strict=True)]
        return Divergences(_sum([one.forward for one in pairs]), _sum([one.backward for one in pairs]), None)

    def pullback(
        self, actions: Tensor, by_log_prob: Tensor, by_entropy: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Each factor's own gradient, side by side."""
        return self._joined(
            [one.pullback(actions[..., i], by_log_prob, by_entropy) for i, one in enumerate(self.factors)]
        )

    def pullback_kl_from(self, other: MultiCategorical, by_kl: Tensor) -> tuple[Tensor, Tensor]:
        """Each factor's own gradient of KL(π'||π), side by side."""
        pairs = zip(self.factors, other.factors, strict=True)
        return self._joined([one.pullback_kl_from(two, by_kl) for one, two in pairs])

    def pullback_kl_to(self, other: MultiCategorical, by_kl: Tensor) -> tuple[Tensor, Tensor]:
        """Each factor's own gradient of KL(π||π'), side by side."""
        pairs = zip(self.factors, other.factors, strict=True)
        return self._joined([one.pullback_kl_to(two, by_kl) for one, two in pairs])

    def fisher(self, output: Tensor, free: Tensor) -> tuple[Tensor, Tensor]:
        """F has one block a factor and nothing between them."""
        pairs = zip(self.factors, self._parts(output), strict=True)
        return torch.cat([one.fisher(part, free)[0] for one, part in pairs], -1), free

    def _parts(self, values: Tensor) -> Sequence[Tensor]:
        """[..., K] factor by factor."""
        return torch.split(values, list(self.sizes), -1)

    def _joined(self, gradients: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        return torch.cat([for_logits for for_logits, _ in gradients], -1), gradients[0][1]


@dataclass(frozen=True)
class Bernoulli(Distribution):
    """π(a|s) = Π_i p_i^{a_i} (1 - p_i)^{1 - a_i}, p = sigmoid(logits): A independent switches.

    All through logsigmoid, so that hardly possible switches stay finite: log p = logsigmoid(logit) and
    log(1 - p) = logsigmoid(-logit).
    """

    logits: Tensor
    """[..., A]: log p/(1 - p) of each switch being on."""

    @property
    def outputs(self) -> tuple[Tensor, Tensor]:
        """Logits; nothing is free."""
        return self.logits, nothing_free(self.logits)

    def like(self, output: Tensor, free: Tensor) -> Bernoulli:
        """Of these logits."""
        return Bernoulli(output)

    @cached_property
    def log_on(self) -> Tensor:
        """log p, [..., A]."""
        return logsigmoid(self.logits)

    @cached_property
    def log_off(self) -> Tensor:
        """log(1 - p), [..., A]."""
        return logsigmoid(-self.logits)

    @cached_property
    def on(self) -> Tensor:
        """p, [..., A]."""
        return self.log_on.exp()

    @cached_property
    def off(self) -> Tensor:
        """1 - p, [..., A], without the cancellation."""
        return self.log_off.exp()

    def log_prob(self, actions: Tensor) -> Tensor:
        """log π(a|s) = Σ_i log(p_i if a_i else 1 - p_i) for actions 0 or 1 of shape [..., A]."""
        return torch.where(actions > 0, self.log_on, self.log_off).sum(-1)

    def entropy(self) -> Tensor:
        """H = -Σ_i (p_i log p_i + (1 - p_i) log(1 - p_i))."""
        return -(self.on * self.log_on + self.off * self.log_off).sum(-1)

    def kl(self, other: Bernoulli) -> Tensor:
        """KL(π||π') = Σ_i (p log p/p' + (1 - p) log (1 - p)/(1 - p')), without cancellation."""
        for_on = kl_terms(self.on, other.on, other.log_on - self.log_on)
        return (for_on + kl_terms(self.off, other.off, other.log_off - self.log_off)).sum(-1)

    def pullback(
        self, actions: Tensor, by_log_prob: Tensor, by_entropy: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """∂ log π(a)/∂ logit_i = a_i - p_i;  ∂ H/∂ logit_i = -p_i (1 - p_i) logit_i."""
        for_logits = by_log_prob.unsqueeze(-1) * torch.where(actions > 0, self.off, -self.on)
        if by_entropy is not None:
            for_logits -= by_entropy.unsqueeze(-1) * (self.on * self.off * self.logits)
        return for_logits, nothing_free(for_logits)

    def pullback_kl_from(self, other: Bernoulli, by_kl: Tensor) -> tuple[Tensor, Tensor]:
        """∂ KL(π'||π)/∂ logit_i = p_i - p'_i."""
        for_logits = by_kl.unsqueeze(-1) * (self.on - other.on)
        return for_logits, nothing_free(for_logits)

    def pullback_kl_to(self, other: Bernoulli, by_kl: Tensor) -> tuple[Tensor, Tensor]:
        """∂ KL(π||π')/∂ logit_i = p_i (1 - p_i) (logit_i - logit'_i)."""
        for_logits = by_kl.unsqueeze(-1) * (self.on * self.off * (self.logits - other.logits))
        return for_logits, nothing_free(for_logits)

    def fisher(self, output: Tensor, free: Tensor) -> tuple[Tensor, Tensor]:
        """F = diag(p (1 - p))."""
        return self.on * self.off * output, free


@dataclass(frozen=True)
class MultiCategoricalFamily:
    """One of `sizes[i]` choices for each factor i; the head outputs all factors' logits side by side."""

    sizes: tuple[int, ...]
    free_width = 0

    @property
    def output_width(self) -> int:
        """One logit a choice."""
        return sum(self.sizes)

    def distribution(self, output: Tensor, free: Tensor) -> MultiCategorical:
        """Outputs are logits."""
        return MultiCategorical(output, self.sizes)

    def noise(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Standard Gumbel noise for every logit."""
        return CategoricalFamily(self.output_width).noise(shape, generator)

    def act(self, output: Array, free: Array, noise: Array | None) -> Array:
        """For each factor argmax_a (logit_a + Gumbel noise_a): int64 [..., A]."""
        noisy = output if noise is None else output + noise
        ends = np.cumsum(self.sizes).tolist()
        parts = zip(ends, self.sizes, strict=True)
        return np.stack([noisy[..., end - size : end].argmax(-1) for end, size in parts], -1)


@dataclass(frozen=True)
class BernoulliFamily:
    """`width` switches; the head outputs the logit of each being on."""

    width: int
    free_width = 0

    @property
    def output_width(self) -> int:
        """One logit a switch."""
        return self.width

    def distribution(self, output: Tensor, free: Tensor) -> Bernoulli:
        """Outputs are logits."""
        return Bernoulli(output)

    def noise(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Standard logistic noise: log u/(1 - u) of a uniform draw u."""
        return torch.empty(*shape, self.width).uniform_(generator=generator).logit_()

    def act(self, output: Array, free: Array, noise: Array | None) -> Array:
        """1 where logit + logistic noise > 0, which has probability sigmoid(logit): int64 [..., A]."""
        noisy = output if noise is None else output + noise
        return (noisy > 0.0).astype(np.int64)


def _sum(terms: Sequence[Tensor]) -> Tensor:
    """In their order, as floating-point sums are not the same in another."""
    return reduce(add, terms)
