"""Distributions against torch's own, against brute-force sums, and against automatic differentiation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.distributions import Categorical as TorchCategorical
from torch.distributions import Independent, Normal, kl_divergence

from rlcli.maths.distributions import (
    Categorical,
    CategoricalFamily,
    DiagonalGaussian,
    GaussianFamily,
    gaussian_tv,
)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


LOGITS, OTHER = 2.0 * draw(3, 7, 5), 2.0 * draw(3, 7, 5, seed=1)
MEAN, OTHER_MEAN = draw(3, 7, 2), draw(3, 7, 2, seed=1)
LOG_STD, OTHER_LOG_STD = 0.5 * draw(3, 1, 2, seed=2), 0.5 * draw(3, 1, 2, seed=3)


def gaussian(mean: float, std: float) -> DiagonalGaussian:
    return DiagonalGaussian(
        torch.tensor([mean], dtype=torch.float64), torch.tensor([std], dtype=torch.float64).log()
    )


def torch_gaussian(mean, log_std):
    return Independent(Normal(mean, log_std.exp().expand_as(mean)), 1)


def test_categorical_agrees_with_torch():
    ours, theirs = Categorical(LOGITS), TorchCategorical(logits=LOGITS)
    actions = theirs.sample()
    torch.testing.assert_close(ours.log_prob(actions), theirs.log_prob(actions))
    torch.testing.assert_close(ours.entropy(), theirs.entropy())
    torch.testing.assert_close(
        ours.kl(Categorical(OTHER)), kl_divergence(theirs, TorchCategorical(logits=OTHER))
    )


def test_categorical_is_what_sums_over_its_actions_say():
    ours, other = Categorical(LOGITS[0, 0]), Categorical(OTHER[0, 0])

    def probabilities(logits):
        exponentials = [math.exp(logit) for logit in logits.tolist()]
        return [value / sum(exponentials) for value in exponentials]

    p, q = probabilities(LOGITS[0, 0]), probabilities(OTHER[0, 0])
    for action in range(5):
        assert ours.log_prob(torch.tensor(action)).item() == pytest.approx(math.log(p[action]))
    assert ours.entropy().item() == pytest.approx(-sum(x * math.log(x) for x in p))
    assert ours.kl(other).item() == pytest.approx(sum(x * math.log(x / y) for x, y in zip(p, q, strict=True)))
    assert other.kl(ours).item() == pytest.approx(sum(y * math.log(y / x) for x, y in zip(p, q, strict=True)))
    assert ours.kl(other).item() != pytest.approx(other.kl(ours).item(), rel=1e-2)
    assert ours.tv(other).item() == pytest.approx(sum(abs(x - y) for x, y in zip(p, q, strict=True)) / 2)


def test_gaussian_agrees_with_torch():
    ours, theirs = DiagonalGaussian(MEAN, LOG_STD), torch_gaussian(MEAN, LOG_STD)
    other, their_other = (
        DiagonalGaussian(OTHER_MEAN, OTHER_LOG_STD),
        torch_gaussian(OTHER_MEAN, OTHER_LOG_STD),
    )
    actions = theirs.sample()
    assert ours.log_prob(actions).shape == (3, 7)
    torch.testing.assert_close(ours.log_prob(actions), theirs.log_prob(actions))
    torch.testing.assert_close(ours.entropy(), theirs.entropy())
    torch.testing.assert_close(ours.kl(other), kl_divergence(theirs, their_other))
    torch.testing.assert_close(other.kl(ours), kl_divergence(their_other, theirs))
    assert ours.tv(other) is None


@pytest.mark.parametrize(
    ("first", "second", "kl"),
    [
        ((0, 1), (0.1, 1), 0.005),
        ((0, 1), (0.5, 1), 0.125),
        ((0, 1), (1, 1), 0.5),
        ((0, 1), (0, 2), 0.318147),
        ((0, 2), (0, 1), 0.806853),
        ((0, 0.3), (1, 0.3), 5.55556),
        ((0, 3), (1, 3), 0.0555556),
    ],
)
def test_known_divergences_of_gaussians(first, second, kl):
    assert gaussian(*first).kl(gaussian(*second)).item() == pytest.approx(kl, rel=2e-6)


@pytest.mark.parametrize(("distance", "tv"), [(0.1, 0.0398776), (0.5, 0.197413), (1.0, 0.382925), (0.0, 0.0)])
def test_total_variation_of_gaussians_of_equal_deviation(distance, tv):
    assert gaussian_tv(torch.tensor(distance, dtype=torch.float64)).item() == pytest.approx(tv, abs=1e-6)


@pytest.mark.parametrize("std", [0.3, 1.0, 3.0])
def test_the_curvature_of_kl_is_the_fisher_information(std):
    step = 1e-3
    by_mean = gaussian(0, std).kl(gaussian(step, std)).item() * 2 / step**2
    by_log_std = gaussian(0, std).kl(gaussian(0, std * math.exp(step))).item() * 2 / step**2
    assert by_mean == pytest.approx(1 / std**2, rel=1e-6)
    assert by_log_std == pytest.approx(2.0, rel=3e-3)


def test_entropy_of_a_narrow_gaussian_is_negative():
    assert gaussian(0, 0.1).entropy().item() == pytest.approx(
        0.5 * math.log(2 * math.pi * math.e) - math.log(10)
    )


def test_hardly_possible_actions_stay_finite():
    sure, other = Categorical(torch.tensor([0.0, 800.0, -800.0])), Categorical(torch.zeros(3))
    for value in (sure.entropy(), sure.kl(other), sure.log_prob(torch.tensor(2)), other.kl(sure)):
        assert value.isfinite()
    assert sure.kl(other).item() == pytest.approx(math.log(3), rel=1e-6)


def test_without_noise_the_most_probable_action_is_taken():
    logits = np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]])
    assert CategoricalFamily(3).act(logits, np.zeros(0), None).tolist() == [1, 0]
    mean = np.array([[0.5, -7.0]])
    assert GaussianFamily(2).act(mean, np.ones((1, 2)), None).tolist() == mean.tolist()


def test_gumbel_noise_draws_actions_as_often_as_they_are_probable():
    logits = torch.tensor([0.0, 1.0, -1.0, 2.0])
    count = 200_000
    noise = CategoricalFamily(4).noise((count,), torch.Generator().manual_seed(3))
    actions = CategoricalFamily(4).act(logits.numpy(), np.zeros(0), noise.numpy())
    found = torch.bincount(torch.from_numpy(actions), minlength=4) / count
    expected = logits.softmax(-1)
    spread = (expected * (1 - expected) / count).sqrt()
    assert ((found - expected).abs() < 4 * spread).all()


def test_gaussian_noise_draws_actions_of_the_right_moments():
    count = 200_000
    noise = GaussianFamily(2).noise((count,), torch.Generator().manual_seed(3))
    deviation = torch.tensor([0.5, 3.0])
    mean = np.array([1.0, -2.0], np.float32)
    actions = torch.from_numpy(GaussianFamily(2).act(mean, deviation.log().numpy(), noise.numpy()))
    assert actions.mean(0).tolist() == pytest.approx([1.0, -2.0], abs=0.03)
    assert actions.std(0).tolist() == pytest.approx(deviation.tolist(), rel=0.01)
    assert abs(torch.corrcoef(actions.T)[0, 1]) < 0.01


@pytest.mark.parametrize("family", [CategoricalFamily(3), GaussianFamily(3), CategoricalFamily(1)], ids=str)
def test_families_say_which_outputs_they_read(family):
    output, free = torch.zeros(2, 6, family.output_width), torch.zeros(2, 1, family.free_width)
    distribution = family.distribution(output, free)
    noise = family.noise((2, 6), torch.Generator().manual_seed(0))
    actions = torch.from_numpy(family.act(output.numpy(), free.numpy(), noise.numpy()))
    assert noise.dtype == torch.float32
    assert actions.dtype in (torch.int64, torch.float32)
    assert distribution.log_prob(actions).shape == (2, 6)
    assert distribution.entropy().shape == (2, 6)


@pytest.mark.parametrize("with_entropy", [False, True])
@pytest.mark.parametrize(("family", "actions"), [
    (CategoricalFamily(5), torch.arange(24).reshape(2, 12) % 5),
    (GaussianFamily(3), draw(2, 12, 3, seed=5)),
    (GaussianFamily(1), draw(2, 12, 1, seed=5)),
], ids=str)  # fmt: skip
def test_pullback_is_the_gradient(family, actions, with_entropy):
    output = draw(2, 12, family.output_width, seed=6).requires_grad_()
    free = (0.3 * draw(2, 1, family.free_width, seed=7)).requires_grad_()
    by_log_prob, by_entropy = draw(2, 12, seed=8), draw(2, 12, seed=9)
    distribution = family.distribution(output, free)
    total = (by_log_prob * distribution.log_prob(actions)).sum()
    if with_entropy:
        total = total + (by_entropy * distribution.entropy()).sum()
    wanted = torch.autograd.grad(total, (output, free), materialize_grads=True)
    found = family.distribution(output.detach(), free.detach()).pullback(
        actions, by_log_prob, by_entropy if with_entropy else None
    )
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours.shape == theirs.shape
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(
    "distribution", [Categorical(LOGITS.float()), DiagonalGaussian(MEAN.float(), LOG_STD.float())]
)
def test_double_is_the_same_distribution(distribution):
    double = distribution.double()
    assert double.entropy().dtype == torch.float64
    torch.testing.assert_close(double.entropy(), distribution.entropy().double(), rtol=1e-6, atol=1e-6)
