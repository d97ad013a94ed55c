"""Fisher products against explicit matrices and the Hessians of both KLs."""

from __future__ import annotations

import math

import pytest
import torch

from rlcli.maths.distributions import Categorical, CategoricalFamily, DiagonalGaussian
from rlcli.nets.stacked.activations import ACTIVATIONS
from tests.maths.networks import (
    FAMILIES,
    explicit_fisher,
    fisher_of,
    policy_of,
    setting,
)


def test_fisher_of_one_state_is_the_covariance_of_the_score():
    logits = torch.randn(1, 1, 4, dtype=torch.float64)
    policy = Categorical(logits)
    scores = torch.eye(4, dtype=torch.float64) - policy.probs[0, 0]
    matrix = (policy.probs[0, 0].unsqueeze(1) * scores).T @ scores
    for j, unit in enumerate(torch.eye(4, dtype=torch.float64)):
        found, _ = policy.fisher(unit.view(1, 1, 4), torch.empty(1, 1, 0, dtype=torch.float64))
        torch.testing.assert_close(found[0, 0], matrix[j])


def test_fisher_of_a_gaussian_in_three_parametrisations():
    deviation = 0.3
    policy = DiagonalGaussian(
        torch.zeros(1, 1, 1).double(), torch.full((1, 1, 1), math.log(deviation)).double()
    )
    one = torch.ones(1, 1, 1, dtype=torch.float64)
    by_mean, by_log_std = policy.fisher(one, one)
    assert by_mean.item() == pytest.approx(1 / deviation**2)
    assert by_log_std.item() == pytest.approx(2.0)
    # Of the deviation itself: 2/σ², by the chain rule.
    assert policy.fisher(one, one / deviation)[1].item() / deviation == pytest.approx(2 / deviation**2)


@pytest.mark.broken_by(
    "repeated passes without the activations' derivatives",
    "nets/stacked/passes.py",
    "return slope.mul_(layer.slope)",
    "return slope",
)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("shape", [(4, (), 2), (3, (5, 4), 2), (1, (1,), 1)], ids=str)
@pytest.mark.parametrize("shared", [False, True])
def test_fisher_product_is_the_explicit_matrix(shape, family, shared):
    network, kind, parameters, x = setting(family, shape, shared=shared, rows=3)
    tangent = torch.randn_like(parameters)
    wanted = (explicit_fisher(network, kind, parameters, x) @ tangent.unsqueeze(-1)).squeeze(-1)
    found = fisher_of(network, kind, parameters, x)(tangent)
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-11)
    assert found.abs().max() > 1e-3 or kind == CategoricalFamily(1)


@pytest.mark.parametrize("direction", ["anchor_pi", "pi_anchor"])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_fisher_product_is_the_hessian_of_either_kl(activation, family, direction):
    network, kind, parameters, x = setting(family, (3, (6, 4), 3), activation)
    anchor = policy_of(network, kind, parameters, x)
    at = parameters.clone().requires_grad_()
    policy = policy_of(network, kind, at, x)
    kl = anchor.kl(policy) if direction == "anchor_pi" else policy.kl(anchor)
    (slope,) = torch.autograd.grad(kl.mean(-1).sum(), at, create_graph=True)
    tangent = torch.randn_like(parameters)
    (wanted,) = torch.autograd.grad((slope * tangent).sum(), at)
    found = fisher_of(network, kind, parameters, x)(tangent)
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-11)


def test_the_critic_is_no_part_of_the_fisher_matrix():
    network, kind, parameters, x = setting(CategoricalFamily, (3, (6, 4), 2))
    moved = network.layout.unflatten(fisher_of(network, kind, parameters, x)(torch.randn_like(parameters)))
    assert (moved["value.weight"] == 0).all()
    assert (moved["trunk.0.weight"][:, 1] == 0).all()
    assert (moved["trunk.0.weight"][:, 0] != 0).any()
