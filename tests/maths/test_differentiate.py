"""Derivatives that are written out against automatic ones; a distribution that writes none out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from rlcli.maths.differentiate import derivative, gradients, hessian_product, outside
from rlcli.maths.distribution import Distribution, nothing_free
from rlcli.maths.distributions import Categorical, CategoricalFamily, DiagonalGaussian, GaussianFamily
from rlcli.maths.factored import BernoulliFamily, MultiCategoricalFamily

FAMILIES: dict[str, Any] = {
    "categorical": CategoricalFamily(4), "one action": CategoricalFamily(1), "gaussian": GaussianFamily(3),
    "multi_categorical": MultiCategoricalFamily((3, 1, 4)), "bernoulli": BernoulliFamily(3),
}  # fmt: skip
ROWS = 5
close = {"rtol": 1e-11, "atol": 1e-13}


def policies(family, runs: int) -> tuple[Distribution, Distribution]:
    """Two of a kind, in float64, farther apart than any update moves one."""
    output = 1.5 * torch.randn(2, runs, ROWS, family.output_width, dtype=torch.float64)
    free = 0.5 * torch.randn(2, runs, 1, family.free_width, dtype=torch.float64)
    first, second = (family.distribution(*both) for both in zip(output, free, strict=True))
    return first, second


def taken(family, runs: int) -> Tensor:
    """Actions that the family's own draws select at outputs of 0."""
    noise = family.noise((runs, ROWS), torch.Generator().manual_seed(0)).numpy()
    free = torch.zeros(runs, 1, family.free_width).numpy()
    return torch.from_numpy(family.act(0.0 * noise, free, noise))


def assert_close(found: tuple[Tensor, Tensor], wanted: tuple[Tensor, Tensor]) -> None:
    for one, other in zip(found, wanted, strict=True):
        assert one.dtype == torch.float64
        torch.testing.assert_close(one, other, **close)


every = pytest.mark.parametrize("kind", FAMILIES)
runs_and_mode = [
    pytest.mark.parametrize("runs", [1, 3]),
    pytest.mark.parametrize("inference", [False, True], ids=["", "inference"]),
]


def in_every_setting(test: Callable[..., None]) -> Callable[..., None]:
    """Of each kind of distribution, of one run and of more, in inference mode and outside."""
    for mark in (every, *runs_and_mode):
        test = mark(test)
    return test


@pytest.mark.broken_by(
    "a categorical's entropy slope of the wrong sign",
    "maths/distributions.py",
    "for_logits -= by_entropy.unsqueeze(-1) * pulled",
    "for_logits += by_entropy.unsqueeze(-1) * pulled",
)
@pytest.mark.broken_by(
    "a Gaussian's deviation pulled back without its 1",
    "maths/distributions.py",
    "taken * (z * z - 1.0)",
    "taken * (z * z)",
)
@pytest.mark.broken_by(
    "a switch's entropy slope without the chance that it is off",
    "maths/factored.py",
    "for_logits -= by_entropy.unsqueeze(-1) * (self.on * self.off * self.logits)",
    "for_logits -= by_entropy.unsqueeze(-1) * (self.on * self.logits)",
)
@pytest.mark.broken_by(
    "every factor's gradient at the first factor's action",
    "maths/factored.py",
    "one.pullback(actions[..., i], by_log_prob, by_entropy)",
    "one.pullback(actions[..., 0].clamp(max=one.logits.shape[-1] - 1), by_log_prob, by_entropy)",
)
@pytest.mark.parametrize("with_entropy", [False, True])
@in_every_setting
def test_pullback(inference, runs, kind, with_entropy):
    family = FAMILIES[kind]
    with torch.inference_mode(inference):
        policy, actions = policies(family, runs)[0], taken(family, runs)
        by_log_prob, by_entropy = torch.randn(2, runs, ROWS, dtype=torch.float64)
        given = actions, by_log_prob, by_entropy if with_entropy else None
        assert_close(policy.pullback(*given), Distribution.pullback(policy, *given))


@pytest.mark.broken_by(
    "a Gaussian's KL slope from the wrong deviation",
    "maths/distributions.py",
    "torch.expm1(2.0 * (other.log_std - self.log_std))",
    "torch.expm1(2.0 * (self.log_std - other.log_std))",
)
@in_every_setting
def test_pullback_of_the_kl_from_another(inference, runs, kind):
    with torch.inference_mode(inference):
        policy, other = policies(FAMILIES[kind], runs)
        by_kl = torch.randn(runs, ROWS, dtype=torch.float64)
        wanted = Distribution.pullback_kl_from(policy, other, by_kl)
        assert_close(policy.pullback_kl_from(other, by_kl), wanted)
        zero = Distribution.pullback_kl_from(policy, policy, by_kl)
        assert all((part.abs() < 1e-12).all() for part in zero)


@pytest.mark.broken_by(
    "a categorical's KL slope not centred",
    "maths/distributions.py",
    "self.probs * (log_ratio - kl)",
    "self.probs * log_ratio",
)
@in_every_setting
def test_pullback_of_the_kl_to_another(inference, runs, kind):
    with torch.inference_mode(inference):
        policy, other = policies(FAMILIES[kind], runs)
        by_kl = torch.randn(runs, ROWS, dtype=torch.float64)
        wanted = Distribution.pullback_kl_to(policy, other, by_kl)
        assert_close(policy.pullback_kl_to(other, by_kl), wanted)


@pytest.mark.broken_by(
    "free parameters' automatic part of the Fisher product summed over states",
    "maths/distribution.py",
    "return by_output, by_free / output.shape[1]",
    "return by_output, by_free",
    case="gaussian-3-",
)
@in_every_setting
def test_fisher(inference, runs, kind):
    family = FAMILIES[kind]
    with torch.inference_mode(inference):
        policy, _ = policies(family, runs)
        output = torch.randn(runs, ROWS, family.output_width, dtype=torch.float64)
        free = torch.randn(runs, 1, family.free_width, dtype=torch.float64)
        assert_close(policy.fisher(output, free), Distribution.fisher(policy, output, free))


@dataclass(frozen=True)
class Plain(Distribution):
    """π(a|s) of one Poisson distribution a state; log rates are the sum of an output and a free parameter."""

    output: Tensor
    """[R, B, 1]."""
    free: Tensor
    """[R, 1, 1]."""

    @property
    def outputs(self) -> tuple[Tensor, Tensor]:
        return self.output, self.free

    def like(self, output: Tensor, free: Tensor) -> Plain:
        return Plain(output, free)

    @property
    def log_rate(self) -> Tensor:
        return (self.output + self.free).squeeze(-1)

    def log_prob(self, actions: Tensor) -> Tensor:
        return actions * self.log_rate - self.log_rate.exp() - torch.lgamma(actions + 1.0)

    def entropy(self) -> Tensor:
        """Up to what no rate changes; a stand-in that is differentiable."""
        return 0.5 * self.log_rate

    def kl(self, other: Plain) -> Tensor:
        mine, its = self.log_rate, other.log_rate
        return mine.exp() * (mine - its) - mine.exp() + its.exp()


@pytest.mark.broken_by(
    "an automatic gradient without the entropy's part",
    "maths/distribution.py",
    "return found if by_spread is None else found + (by_spread * policy.entropy()).sum()",
    "return found",
)
@pytest.mark.broken_by(
    "the automatic KL from another taken to it",
    "maths/distribution.py",
    "(slope * constant.kl(self.like(output, free))).sum()",
    "(slope * self.like(output, free).kl(constant)).sum()",
)
@pytest.mark.parametrize("inference", [False, True], ids=["", "inference"])
def test_a_distribution_that_writes_no_derivative_out_has_all(inference):
    with torch.inference_mode(inference):
        output, other, moved = torch.randn(3, 2, ROWS, 1, dtype=torch.float64)
        free, shift = torch.randn(2, 2, 1, 1, dtype=torch.float64)
        policy, anchor = Plain(output, free), Plain(other, 0.0 * free)
        rate, its = policy.log_rate.exp(), anchor.log_rate.exp()
        actions = torch.randint(5, (2, ROWS)).double()
        by, spread = torch.randn(2, 2, ROWS, dtype=torch.float64)

        def both(slope: Tensor) -> tuple[Tensor, Tensor]:
            """A slope by log rates [R, B] as one by outputs and free parameters."""
            return slope.unsqueeze(-1), slope.sum(-1).view(-1, 1, 1)

        assert_close(policy.pullback(actions, by, None), both(by * (actions - rate)))
        assert_close(policy.pullback(actions, by, spread), both(by * (actions - rate) + 0.5 * spread))
        assert_close(policy.pullback_kl_from(anchor, by), both(by * (rate - its)))
        log_ratio = policy.log_rate - anchor.log_rate
        assert_close(policy.pullback_kl_to(anchor, by), both(by * rate * log_ratio))
        tangent = rate * (moved + shift).squeeze(-1)
        for_output, for_free = both(tangent)
        assert_close(policy.fisher(moved, shift), (for_output, for_free / ROWS))
        assert policy.tv(anchor) is None
        torch.testing.assert_close(policy.divergences(anchor).backward, anchor.kl(policy))
        assert policy.like(output.float(), free.float()).double().output.dtype == torch.float64


@pytest.mark.broken_by(
    "a derivative that doubles",
    "maths/differentiate.py",
    "gradients(lambda x: function(x).sum(), [at])[0]",
    "gradients(lambda x: 2.0 * function(x).sum(), [at])[0]",
)
@pytest.mark.broken_by(
    "a Hessian's product with nothing but ones",
    "maths/differentiate.py",
    "(slope * outside(tangent)).sum()",
    "slope.sum()",
)
@pytest.mark.parametrize("inference", [False, True], ids=["", "inference"])
def test_derivatives_of_functions(inference):
    with torch.inference_mode(inference):
        x, y, v, w = torch.randn(4, 6, dtype=torch.float64)
        torch.testing.assert_close(derivative(torch.sin, x), x.cos())
        by_x, by_y, by_none = gradients(lambda a, b, _: (a * a * b).sum(), [x, y, v])
        torch.testing.assert_close(by_x, 2.0 * x * y)
        torch.testing.assert_close(by_y, x * x)
        assert (by_none == 0.0).all()
        for_x, for_y, for_none = hessian_product(lambda a, b, _: (a * a * b).sum(), [x, y, v], [v, w, x])
        torch.testing.assert_close(for_x, 2.0 * y * v + 2.0 * x * w)
        torch.testing.assert_close(for_y, 2.0 * x * v)
        assert (for_none == 0.0).all()
        assert (derivative(torch.zeros_like, x) == 0.0).all()
        assert not by_x.requires_grad
    assert not outside(x).is_inference()
    assert outside(x).data_ptr() != x.data_ptr()


def test_nothing_free_is_of_the_outputs_kind():
    outputs = torch.randn(3, ROWS, 4, dtype=torch.float64)
    found = nothing_free(outputs)
    assert found.shape == (3, 1, 0)
    assert found.dtype == torch.float64
    assert Categorical(outputs).outputs[1].shape == (3, 1, 0)
    gaussian = DiagonalGaussian(outputs, outputs[:, :1])
    assert all(one is other for one, other in zip(gaussian.outputs, (outputs, gaussian.log_std), strict=True))
