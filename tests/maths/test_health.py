"""Health figures against exact values, definitions, and the inequalities they must keep."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
import torch

from rlcli.maths.distributions import Categorical, DiagonalGaussian
from rlcli.maths.health import (
    clip_figures,
    divergence,
    effective_sample_size,
    explained_variance,
    health,
    nonnegative,
    quantile,
)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def by_quadrature(distance: float = 0.0, std: float = 1.0) -> dict[str, float]:
    """Health of N(distance, std) against N(0, 1), on a fine grid weighted by the reference's density."""
    actions = torch.linspace(-80, 80, 320_001, dtype=torch.float64).view(1, -1, 1)
    reference = DiagonalGaussian(torch.zeros_like(actions), torch.zeros(1, 1, 1, dtype=torch.float64))
    policy = DiagonalGaussian(
        torch.full_like(actions, distance), torch.full((1, 1, 1), math.log(std), dtype=torch.float64)
    )
    log_reference = reference.log_prob(actions)
    log_ratio = policy.log_prob(actions) - log_reference
    # Far out the ratio overflows where the density is 0; there is nothing to weigh.
    log_ratio = torch.where(log_reference < -700, 0.0, log_ratio)
    figures = health(reference, policy, log_ratio, log_reference.exp())
    return {name: value.item() for name, value in figures.items()}


@pytest.mark.parametrize(
    ("distance", "kl", "ess", "tv", "outside"),
    [
        (0.1, 0.005, 0.990050, 0.0398776, 0.0450949),
        (0.5, 0.125, 0.778801, 0.197413, 0.691588),
        (1.0, 0.5, 0.367879, 0.382925, 0.856573),
    ],
)
def test_a_gaussian_and_the_same_one_moved(distance, kl, ess, tv, outside):
    found = by_quadrature(distance)
    assert found["kl_ref_pi"] == pytest.approx(kl)
    assert found["kl_pi_ref"] == pytest.approx(kl)
    assert found["kl_ref_pi_max"] == pytest.approx(kl)
    assert found["kl_k1"] == pytest.approx(kl)
    assert found["kl_k3"] == pytest.approx(kl)
    assert found["ess"] == pytest.approx(ess, abs=1e-6)
    assert found["tv_sampled"] == pytest.approx(tv, abs=1e-6)
    assert found["clip_fraction"] == pytest.approx(outside, abs=5e-4)
    assert found["ratio_mean"] == pytest.approx(1.0)
    assert found["tv_bound"] >= tv
    assert "tv" not in found
    for name, level in (("ratio_p01", 0.01), ("ratio_p50", 0.5), ("ratio_p99", 0.99)):
        expected = math.exp(distance * NormalDist().inv_cdf(level) - distance**2 / 2)
        assert found[name] == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize(("std", "ess"), [(1.2, 0.897998), (1.4, 0.28), (0.8, 0.8 * math.sqrt(2 - 0.64))])
def test_a_gaussian_and_a_wider_one(std, ess):
    assert by_quadrature(std=std)["ess"] == pytest.approx(ess, abs=1e-5)


def test_divergences_of_gaussians_of_two_widths_are_not_the_same_both_ways():
    found = by_quadrature(std=1.3)
    forward, backward = math.log(1.3) + 1 / (2 * 1.69) - 0.5, -math.log(1.3) + 1.69 / 2 - 0.5
    assert found["kl_ref_pi"] == pytest.approx(forward)
    assert found["kl_pi_ref"] == pytest.approx(backward)
    assert found["kl_k1"] == pytest.approx(forward)
    assert abs(forward - backward) > 0.01


@pytest.mark.parametrize("runs", [1, 3])
def test_effective_sample_size_by_its_definition(runs):
    log_ratio = draw(runs, 100)
    expected = (2 * log_ratio.logsumexp(-1) - (2 * log_ratio).logsumexp(-1) - math.log(100)).exp()
    torch.testing.assert_close(effective_sample_size(log_ratio), expected)
    ratio = log_ratio.exp()
    torch.testing.assert_close(
        effective_sample_size(log_ratio), ratio.sum(-1) ** 2 / (100 * (ratio**2).sum(-1))
    )


def test_effective_sample_size_of_equal_ratios_is_exactly_one():
    for level in (0.0, 0.7, -300.0, 1000.0):
        assert (effective_sample_size(torch.full((2, 999), level, dtype=torch.float64)) == 1.0).all()


def test_effective_sample_size_does_not_change_with_a_constant_factor():
    log_ratio = draw(1, 50)
    for shift in (1.0, 900.0, -900.0):
        torch.testing.assert_close(effective_sample_size(log_ratio + shift), effective_sample_size(log_ratio))


@pytest.mark.broken_by(
    "effective sample size without N",
    "maths/health.py",
    "share = total * total / (log_ratio.shape[-1] * (ratio * ratio).sum(-1))",
    "share = total * total / (ratio * ratio).sum(-1)",
)
def test_one_dominating_sample_leaves_one_nth():
    log_ratio = torch.zeros(1, 40, dtype=torch.float64)
    log_ratio[0, 3] = 2000.0
    assert effective_sample_size(log_ratio).item() == pytest.approx(1 / 40)


def test_half_the_samples_gone_leaves_half():
    log_ratio = torch.tensor([[0.0, -1e9] * 8], dtype=torch.float64)
    assert effective_sample_size(log_ratio).item() == pytest.approx(0.5)


def test_whole_weights_count_as_often_as_a_sample_occurs():
    counts = torch.tensor([3, 1, 0, 2, 5, 1, 1, 4])
    reference, policy = Categorical(draw(1, 8, 3)), Categorical(draw(1, 8, 3, seed=1))
    log_ratio, advantages = 0.5 * draw(1, 8, seed=2), draw(1, 8, seed=3)
    clip = torch.tensor([[0.1]], dtype=torch.float64)
    weights = 7.0 * counts.double().unsqueeze(0)
    rows = torch.arange(8).repeat_interleave(counts)

    def figures(index, weights):
        return health(
            Categorical(reference.logits[:, index]),
            Categorical(policy.logits[:, index]),
            log_ratio[:, index],
            weights,
        ) | clip_figures(log_ratio[:, index], advantages[:, index], clip, weights)

    weighted, repeated = figures(torch.arange(8), weights), figures(rows, None)
    sampled = "ratio_mean ratio_p01 ratio_p50 ratio_p99 clip_fraction clip_fraction_own clip_active ess"
    for name in (*sampled.split(), "kl_k1", "kl_k3", "tv_sampled"):
        assert weighted[name].item() == pytest.approx(repeated[name].item()), name


def test_equal_weights_change_nothing():
    reference, policy, log_ratio = (
        Categorical(draw(2, 30, 3)),
        Categorical(draw(2, 30, 3, seed=1)),
        0.3 * draw(2, 30),
    )
    plain = health(reference, policy, log_ratio)
    for name, value in health(
        reference, policy, log_ratio, torch.full((2, 30), 0.25, dtype=torch.float64)
    ).items():
        torch.testing.assert_close(value, plain[name], msg=name)


@pytest.mark.broken_by(
    "the two KL figures swapped",
    "maths/health.py",
    "forward, backward = nonnegative(apart.forward), nonnegative(apart.backward)",
    "backward, forward = nonnegative(apart.forward), nonnegative(apart.backward)",
)
def test_figures_by_hand():
    """Two states, two actions, μ = ½ each; π = (0.9, 0.1), then (0.425, 0.575); actions 0 and 1."""
    mu = Categorical(torch.zeros(1, 2, 2, dtype=torch.float64))
    pi = Categorical(torch.tensor([[[0.9, 0.1], [0.425, 0.575]]], dtype=torch.float64).log())
    found = {
        name: value.item()
        for name, value in health(mu, pi, torch.tensor([[1.8, 1.15]]).double().log()).items()
    }
    forward = [
        0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1),
        0.5 * math.log(0.5 / 0.425) + 0.5 * math.log(0.5 / 0.575),
    ]
    backward = [0.9 * math.log(1.8) + 0.1 * math.log(0.2), 0.425 * math.log(0.85) + 0.575 * math.log(1.15)]
    bounds = [min(math.sqrt(kl / 2), math.sqrt(1 - math.exp(-kl))) for kl in forward]
    assert found == pytest.approx({
        "ratio_mean": 1.475, "ratio_min": 1.15, "ratio_max": 1.8,
        "ratio_p01": 1.15, "ratio_p50": 1.15, "ratio_p99": 1.8,
        "clip_fraction": 0.5, "ess": 2.95**2 / (2 * (1.8**2 + 1.15**2)),
        "kl_ref_pi": sum(forward) / 2, "kl_ref_pi_max": forward[0],
        "kl_pi_ref": sum(backward) / 2, "kl_pi_ref_max": backward[0],
        "kl_k1": -(math.log(1.8) + math.log(1.15)) / 2,
        "kl_k3": (0.8 - math.log(1.8) + 0.15 - math.log(1.15)) / 2,
        "tv": (0.4 + 0.075) / 2, "tv_sampled": (0.8 + 0.15) / 4, "tv_bound": sum(bounds) / 2,
    })  # fmt: skip


def test_divergence_is_the_part_of_health_that_epochs_follow():
    reference, policy = Categorical(draw(2, 30, 3)), Categorical(draw(2, 30, 3, seed=1))
    log_ratio, weights = 0.3 * draw(2, 30, seed=2), draw(2, 30, seed=3).exp()
    for given in (None, weights):
        whole = health(reference, policy, log_ratio, given)
        for name, value in divergence(reference, policy, log_ratio, given).items():
            assert torch.equal(value, whole[name]), name


def test_the_clip_figures_case_by_case():
    ratio = torch.tensor([[1.5, 1.5, 0.5, 0.5, 1.1, 0.9, 1.5, 1.0]], dtype=torch.float64)
    advantages = torch.tensor([[1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 0.0, 1.0]], dtype=torch.float64)
    found = clip_figures(ratio.log(), advantages, torch.tensor([[0.2]], dtype=torch.float64))
    assert found["clip_fraction_own"].item() == 5 / 8
    assert found["clip_active"].item() == 2 / 8


def test_every_run_has_its_own_clip():
    log_ratio = torch.tensor([[1.15, 0.95], [1.15, 0.95]], dtype=torch.float64).log()
    advantages = torch.ones(2, 2, dtype=torch.float64)
    found = clip_figures(log_ratio, advantages, torch.tensor([[0.1], [0.3]], dtype=torch.float64))
    assert found["clip_fraction_own"].tolist() == [0.5, 0.0]


@pytest.mark.parametrize("clip", [0.05, 0.2, 0.5])
@pytest.mark.parametrize("edges", [False, True])
def test_what_holds_while_every_ratio_lies_within_the_clip(clip, edges):
    samples = torch.rand(64, 200, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    share = torch.linspace(0.02, 0.98, 64, dtype=torch.float64).unsqueeze(1)
    ratio = 1 + clip * ((samples < share).double() if edges else samples).mul(2).sub(1)
    policy = Categorical(torch.zeros(64, 200, 2, dtype=torch.float64))
    figures = health(policy, policy, ratio.log())
    own = clip_figures(ratio.log(), samples, torch.tensor([clip + 1e-12], dtype=torch.float64))
    assert (own["clip_fraction_own"] == 0).all()
    assert (figures["ess"] >= 1 - clip**2 - 1e-12).all()
    assert (figures["tv_sampled"] <= clip / 2 + 1e-12).all()
    assert (figures["kl_k3"] <= -clip - math.log(1 - clip) + 1e-12).all()
    if edges:
        assert figures["ess"].min() < 1 - 0.98 * clip**2
        assert figures["kl_k3"].max() > 0.9 * (-clip - math.log(1 - clip))


def test_rounding_below_zero_is_removed_and_a_negative_divergence_is_an_error():
    found = nonnegative(torch.tensor([-1e-7, 0.0, 0.3, -1e-5]))
    assert found[:3].tolist() == pytest.approx([0.0, 0.0, 0.3])
    assert found[3].isnan()


@pytest.mark.parametrize("count", [1, 2, 5, 99, 100, 101, 256, 1000])
@pytest.mark.parametrize("level", [0.01, 0.5, 0.99])
def test_quantiles_are_the_smallest_values_with_that_share(count, level):
    values = draw(2, count)
    found = quantile(values, level)
    for row, value in zip(values, found, strict=True):
        assert (row <= value).double().mean() >= level
        assert (row < value).double().mean() < level


def test_explained_variance():
    targets = draw(4, 100)
    noise = draw(4, 100, seed=1)
    predictions = torch.stack((targets[0], torch.zeros(100), targets[2] + 5.0, 0.5 * targets[3] + noise[3]))
    found = explained_variance(predictions, targets)
    assert found[:3].tolist() == pytest.approx([1.0, 0.0, 1.0])
    expected = 1 - np.var((targets - predictions)[3].numpy()) / np.var(targets[3].numpy())
    assert found[3].item() == pytest.approx(expected)
    assert explained_variance(predictions, torch.ones(4, 100, dtype=torch.float64)).isnan().all()


def test_a_sample_of_no_weight_counts_for_nothing_however_far_its_ratio():
    log_ratio = torch.tensor([[0.1, 1e4]], dtype=torch.float64)
    first = Categorical(torch.zeros(1, 2, 2, dtype=torch.float64))
    figures = health(first, first, log_ratio, torch.tensor([[1.0, 0.0]], dtype=torch.float64))
    assert figures["ratio_mean"].item() == pytest.approx(math.exp(0.1))
    assert figures["kl_k3"].item() == pytest.approx(math.expm1(0.1) - 0.1)
