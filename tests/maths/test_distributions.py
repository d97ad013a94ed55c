"""Distributions against torch's own, against brute-force sums, and against automatic differentiation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch.distributions import Bernoulli as TorchBernoulli
from torch.distributions import Categorical as TorchCategorical
from torch.distributions import Independent, Normal, kl_divergence

from rlcli.maths.distributions import (
    Categorical,
    CategoricalFamily,
    DiagonalGaussian,
    GaussianFamily,
    gaussian_tv,
)
from rlcli.maths.factored import Bernoulli, BernoulliFamily, MultiCategorical, MultiCategoricalFamily


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


@pytest.mark.broken_by(
    "the KL of two categoricals swapped",
    "maths/distributions.py",
    "return kl_terms(self.probs, other.probs, other.log_probs - self.log_probs).sum(-1)",
    "return kl_terms(other.probs, self.probs, self.log_probs - other.log_probs).sum(-1)",
)
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


@pytest.mark.broken_by(
    "the KL of two Gaussians swapped",
    "maths/distributions.py",
    "log_ratio = 2.0 * (self.log_std - other.log_std)",
    "self, other = other, self\n        log_ratio = 2.0 * (self.log_std - other.log_std)",
)
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


SIZES = (2, 5, 1, 3)
FACTORS, OTHER_FACTORS = 2.0 * draw(3, 7, 11), 2.0 * draw(3, 7, 11, seed=1)
SWITCHES, OTHER_SWITCHES = 2.0 * draw(3, 7, 4), 2.0 * draw(3, 7, 4, seed=1)


def test_multicategorical_agrees_with_torch():
    ours, other = MultiCategorical(FACTORS, SIZES), MultiCategorical(OTHER_FACTORS, SIZES)
    theirs, their_other = (
        [TorchCategorical(logits=part) for part in logits.split(SIZES, -1)]
        for logits in (FACTORS, OTHER_FACTORS)
    )
    actions = torch.stack([factor.sample() for factor in theirs], -1)
    log_probs = [factor.log_prob(actions[..., i]) for i, factor in enumerate(theirs)]
    torch.testing.assert_close(ours.log_prob(actions), sum(log_probs))
    torch.testing.assert_close(ours.entropy(), sum(factor.entropy() for factor in theirs))
    torch.testing.assert_close(ours.kl(other), sum(map(kl_divergence, theirs, their_other)))
    ratio = (other.log_prob(actions) - ours.log_prob(actions)).exp()
    pairs = zip(other.factors, ours.factors, strict=True)
    factors = [
        (two.log_prob(actions[..., i]) - one.log_prob(actions[..., i])).exp()
        for i, (two, one) in enumerate(pairs)
    ]
    torch.testing.assert_close(ratio, math.prod(factors))


def test_bernoulli_agrees_with_torch():
    ours, other = Bernoulli(SWITCHES), Bernoulli(OTHER_SWITCHES)
    theirs, their_other = (
        Independent(TorchBernoulli(logits=logits), 1) for logits in (SWITCHES, OTHER_SWITCHES)
    )
    actions = theirs.sample().long()
    torch.testing.assert_close(ours.log_prob(actions), theirs.log_prob(actions.double()))
    torch.testing.assert_close(ours.entropy(), theirs.entropy())
    torch.testing.assert_close(ours.kl(other), kl_divergence(theirs, their_other))


@pytest.mark.parametrize(("ours", "other", "choices"), [
    (MultiCategorical(FACTORS[0, 0], SIZES), MultiCategorical(OTHER_FACTORS[0, 0], SIZES), SIZES),
    (Bernoulli(SWITCHES[0, 0]), Bernoulli(OTHER_SWITCHES[0, 0]), (2, 2, 2, 2)),
], ids=["multicategorical", "bernoulli"])  # fmt: skip
def test_factored_distributions_are_what_sums_over_all_joint_actions_say(ours, other, choices):
    joint = torch.tensor(list(itertools.product(*map(range, choices))))
    p, q = ([math.exp(policy.log_prob(action).item()) for action in joint] for policy in (ours, other))
    assert len(p) == math.prod(choices)
    assert sum(p) == pytest.approx(1.0)
    assert ours.entropy().item() == pytest.approx(-sum(x * math.log(x) for x in p))
    forward, backward = (
        sum(x * math.log(x / y) for x, y in zip(*pair, strict=True)) for pair in ((p, q), (q, p))
    )
    assert ours.kl(other).item() == pytest.approx(forward)
    assert other.kl(ours).item() == pytest.approx(backward)
    assert forward != pytest.approx(backward, rel=1e-2)
    assert ours.tv(other) is None


@pytest.mark.parametrize(("family", "logits", "action", "bits"), [
    (MultiCategoricalFamily((3, 1)), [0.0, 800.0, -800.0, 0.0], [2, 0], math.log(3)),
    (BernoulliFamily(2), [800.0, -800.0], [0, 1], 2 * math.log(2)),
], ids=["multicategorical", "bernoulli"])  # fmt: skip
def test_hardly_possible_factors_stay_finite(family, logits, action, bits):
    output, actions, ones = torch.tensor([[logits]]), torch.tensor([[action]]), torch.ones(1, 1)
    none = torch.zeros(1, 1, 0)
    sure, even = family.distribution(output, none), family.distribution(torch.zeros_like(output), none)
    for value in (
        other := even.kl(sure), sure.log_prob(actions), sure.pullback(actions, ones, ones)[0],
        sure.pullback_kl_from(even, ones)[0], sure.pullback_kl_to(even, ones)[0],
        sure.fisher(output, none)[0],
    ):  # fmt: skip
        assert value.isfinite().all()
    assert other.item() > 100
    assert sure.entropy().item() == 0.0
    assert sure.kl(even).item() == pytest.approx(bits, rel=1e-6)


def test_without_noise_the_most_probable_action_is_taken():
    logits = np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]])
    assert CategoricalFamily(3).act(logits, np.zeros(0), None).tolist() == [1, 0]
    factors = np.array([[1.0, 3.0, 3.0, 5.0, 2.0, 2.0], [2.0, 2.0, 2.0, -1.0, 1.0, 4.0]])
    assert MultiCategoricalFamily((3, 1, 2)).act(factors, np.zeros(0), None).tolist() == [
        [1, 0, 0],
        [0, 0, 1],
    ]
    switches = np.array([[-1.0, 0.0, 1e-30]])
    assert BernoulliFamily(3).act(switches, np.zeros(0), None).tolist() == [[0, 0, 1]]
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


@pytest.mark.parametrize(("family", "choices"), [
    (MultiCategoricalFamily((3, 1, 2)), (3, 1, 2)), (BernoulliFamily(3), (2, 2, 2)),
], ids=["multicategorical", "bernoulli"])  # fmt: skip
def test_joint_actions_are_drawn_as_often_as_they_are_probable(family, choices):
    """Hence also that the factors are drawn independently of each other."""
    count, output = 200_000, draw(family.output_width, seed=4).float()
    noise = family.noise((count,), torch.Generator().manual_seed(3))
    actions = torch.from_numpy(family.act(output.numpy(), np.zeros(0), noise.numpy()))
    assert actions.dtype == torch.int64
    policy = family.distribution(output, torch.zeros(0))
    seen = 0
    for joint in map(torch.tensor, itertools.product(*map(range, choices))):
        expected = policy.log_prob(joint).exp().item()
        found = (actions == joint).all(-1).double().mean().item()
        assert abs(found - expected) < 4 * math.sqrt(expected * (1 - expected) / count)
        seen += found
    assert seen == pytest.approx(1.0)


def test_gaussian_noise_draws_actions_of_the_right_moments():
    count = 200_000
    noise = GaussianFamily(2).noise((count,), torch.Generator().manual_seed(3))
    deviation = torch.tensor([0.5, 3.0])
    mean = np.array([1.0, -2.0], np.float32)
    actions = torch.from_numpy(GaussianFamily(2).act(mean, deviation.log().numpy(), noise.numpy()))
    assert actions.mean(0).tolist() == pytest.approx([1.0, -2.0], abs=0.03)
    assert actions.std(0).tolist() == pytest.approx(deviation.tolist(), rel=0.01)
    assert abs(torch.corrcoef(actions.T)[0, 1]) < 0.01


@pytest.mark.parametrize("family", [
    CategoricalFamily(3), CategoricalFamily(1), GaussianFamily(3),
    MultiCategoricalFamily((2, 3)), BernoulliFamily(3),
], ids=str)  # fmt: skip
def test_families_say_which_outputs_they_read(family):
    output, free = torch.zeros(2, 6, family.output_width), torch.zeros(2, 1, family.free_width)
    distribution = family.distribution(output, free)
    noise = family.noise((2, 6), torch.Generator().manual_seed(0))
    actions = torch.from_numpy(family.act(output.numpy(), free.numpy(), noise.numpy()))
    assert noise.dtype == torch.float32
    assert actions.dtype in (torch.int64, torch.float32)
    assert distribution.log_prob(actions).shape == (2, 6)
    assert distribution.entropy().shape == (2, 6)


FAMILIES = [
    (CategoricalFamily(5), torch.arange(24).reshape(2, 12) % 5),
    (GaussianFamily(3), draw(2, 12, 3, seed=5)),
    (GaussianFamily(1), draw(2, 12, 1, seed=5)),
    (MultiCategoricalFamily((2, 5, 1, 3)), torch.arange(96).reshape(2, 12, 4) % torch.tensor([2, 5, 1, 3])),
    (MultiCategoricalFamily((4,)), torch.arange(24).reshape(2, 12, 1) % 4),
    (BernoulliFamily(4), (draw(2, 12, 4, seed=5) > 0).long()),
    (BernoulliFamily(1), (draw(2, 12, 1, seed=5) > 0).long()),
]
"""Every family, and actions [2, 12, ...] it might take."""
every_family = pytest.mark.parametrize("family", [family for family, _ in FAMILIES], ids=str)


def parameters(family, seed=6):
    """Outputs and free parameters for 2 runs of 12 states."""
    return draw(2, 12, family.output_width, seed=seed), 0.3 * draw(2, 1, family.free_width, seed=seed + 1)


def assert_gradients(found, function, at):
    """`found` is what automatic differentiation makes of `function` of the distribution parameters `at`."""
    leaves = [part.clone().requires_grad_() for part in at]
    wanted = torch.autograd.grad(function(*leaves).sum(), leaves, materialize_grads=True)
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours.shape == theirs.shape
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11)


@pytest.mark.broken_by(
    "the log deviation's gradient dropped",
    "maths/distributions.py",
    "return taken * z * inverse, taken * (z * z - 1.0)",
    "return taken * z * inverse, 0.0 * taken * z",
)
@pytest.mark.parametrize("with_entropy", [False, True])
@pytest.mark.parametrize(("family", "actions"), FAMILIES, ids=[str(family) for family, _ in FAMILIES])
def test_pullback_is_the_gradient(family, actions, with_entropy):
    at = parameters(family)
    by_log_prob, by_entropy = draw(2, 12, seed=8), draw(2, 12, seed=9) * with_entropy

    def function(output, free):
        policy = family.distribution(output, free)
        return by_log_prob * policy.log_prob(actions) + by_entropy * policy.entropy()

    found = family.distribution(*at).pullback(actions, by_log_prob, by_entropy if with_entropy else None)
    assert_gradients(found, function, at)


@every_family
def test_pullbacks_of_both_divergences_are_their_gradients(family):
    at, by_kl = parameters(family), draw(2, 12, seed=8)
    policy, anchor = family.distribution(*at), family.distribution(*parameters(family, seed=16))
    away = policy.pullback_kl_from(anchor, by_kl)
    back = policy.pullback_kl_to(anchor, by_kl)
    assert_gradients(away, lambda *leaves: by_kl * anchor.kl(family.distribution(*leaves)), at)
    assert_gradients(back, lambda *leaves: by_kl * family.distribution(*leaves).kl(anchor), at)
    assert not torch.allclose(away[0], back[0], rtol=1e-2), "the directions must differ for this to tell"


@every_family
def test_divergences_have_no_slope_at_the_anchor(family):
    policy, by_kl = family.distribution(*parameters(family)), draw(2, 12, seed=8)
    for found in (*policy.pullback_kl_from(policy, by_kl), *policy.pullback_kl_to(policy, by_kl)):
        assert found.abs().sum() == 0


@every_family
def test_fisher_is_the_curvature_of_both_divergences(family):
    """Summed over states, which share their free parameters."""
    at = parameters(family)
    anchor = family.distribution(*at)
    widths = [part.numel() for part in at]

    def flat(function):
        def of(values):
            parts = zip(values.split(widths), at, strict=True)
            return function(family.distribution(*(part.view_as(like) for part, like in parts))).sum()

        return of

    point, tangent = torch.cat([part.flatten() for part in at]), draw(sum(widths), seed=20)
    output, free = (part.view_as(like) for part, like in zip(tangent.split(widths), at, strict=True))
    found = anchor.fisher(output, free)
    assert [part.shape for part in found] == [part.shape for part in at]
    ours = torch.cat([found[0].flatten(), 12 * found[1].flatten()])
    for divergence in (anchor.kl, lambda policy: policy.kl(anchor)):
        curvature = torch.autograd.functional.hessian(flat(divergence), point)
        torch.testing.assert_close(ours, curvature @ tangent, rtol=1e-10, atol=1e-10)


@every_family
def test_fisher_is_the_mean_square_of_the_score(family):
    """E_a[(∇log π(a) · v)²] = v · F v, over many sampled actions at one state."""
    count = 100_000
    one = [part[:1, :1] for part in parameters(family)]
    output, free = (part.expand(count, 1, -1) for part in one)
    noise = family.noise((count, 1), torch.Generator().manual_seed(3))
    actions = torch.from_numpy(family.act(output.numpy(), free.numpy(), noise.numpy()))
    scores = family.distribution(output, free).pullback(actions, torch.ones(count, 1).double(), None)
    v = draw(1, 1, family.output_width, seed=4), draw(1, 1, family.free_width, seed=5)
    slopes = sum((score * part).sum((-2, -1)) for score, part in zip(scores, v, strict=True))
    found = family.distribution(*one).fisher(*v)
    form = sum((part * tangent).sum() for part, tangent in zip(found, v, strict=True)).item()
    assert (slopes * slopes).mean().item() == pytest.approx(form, rel=0.03, abs=1e-12)


@pytest.mark.parametrize("distribution", [
    Categorical(LOGITS.float()), DiagonalGaussian(MEAN.float(), LOG_STD.float()),
    MultiCategorical(FACTORS.float(), SIZES), Bernoulli(SWITCHES.float()),
], ids=["categorical", "gaussian", "multicategorical", "bernoulli"])  # fmt: skip
def test_double_is_the_same_distribution(distribution):
    double = distribution.double()
    assert double.entropy().dtype == torch.float64
    torch.testing.assert_close(double.entropy(), distribution.entropy().double(), rtol=1e-6, atol=1e-6)
