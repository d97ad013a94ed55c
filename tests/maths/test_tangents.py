"""A network's forward-mode derivative, its backward pass, and its actor and critic alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from rlcli.maths.distributions import GaussianFamily
from rlcli.nets.network import ACTOR, CRITIC, Heads
from rlcli.nets.stacked.activations import ACTIVATIONS
from tests.maths.networks import (
    FAMILIES,
    SHAPES,
    fisher_of,
    setting,
)


def like(heads: Heads) -> Heads:
    """Random numbers of the heads' shapes."""
    return Heads(*(torch.randn_like(part) for part in heads[:3]))


@pytest.mark.broken_by(
    "tangents that do not pass on from layer to layer",
    "nets/stacked/passes.py",
    "add_product(pushed, moved, layer.weight)",
    "pass",
)
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_jvp_is_the_derivative_along_the_tangent(shape, activation, shared):
    network, _, parameters, x = setting(GaussianFamily, shape, activation, shared)
    tangent = torch.randn_like(parameters)

    def heads(at: Tensor) -> tuple[Tensor, ...]:
        return network.heads(at, x)[:3]

    _, wanted = torch.autograd.functional.jvp(heads, parameters, tangent)
    for found, exact in zip(network.linearise(parameters, x).jvp(tangent)[:3], wanted, strict=True):
        assert found.dtype == torch.float64
        torch.testing.assert_close(found, exact, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_jvp_and_vjp_are_transposes(activation, shared):
    network, _, parameters, x = setting(GaussianFamily, (3, (6, 4), 2), activation, shared)
    linear = network.linearise(parameters, x)
    tangent, by = torch.randn_like(parameters), like(linear.heads)
    given = [part.clone() for part in (tangent, *by[:3])]
    pairs = zip(linear.jvp(tangent)[:3], by[:3], strict=True)
    pushed = sum((a * b).flatten(1).sum(-1) for a, b in pairs)
    torch.testing.assert_close(pushed, (linear.vjp(by) * tangent).sum(-1))
    assert all(torch.equal(*pair) for pair in zip((tangent, *by[:3]), given, strict=True))


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_passes_made_for_many_give_the_same_again_and_again(shape, activation, shared):
    network, _, parameters, x = setting(GaussianFamily, shape, activation, shared)
    once, many = (network.linearise(parameters, x, repeatedly=repeatedly) for repeatedly in (False, True))
    found, wanted = [], []
    for _ in range(2):
        tangent, by = torch.randn_like(parameters), like(once.heads)
        found += [*many.jvp(tangent)[:3], many.vjp(by)]
        wanted += [*once.jvp(tangent)[:3], once.vjp(by)]
    for part, same in zip(found, wanted, strict=True):
        torch.testing.assert_close(part, same, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_actor_alone_has_the_same_policy_and_fisher_matrix(shape, family, shared):
    network, kind, parameters, x = setting(family, shape, shared=shared)
    own = network.parts[ACTOR]
    alone, whole = network.linearise(parameters, x, part=ACTOR).heads, network.linearise(parameters, x).heads
    for found in (alone, network.heads(parameters, x, part=ACTOR)):
        assert torch.equal(found.output, whole.output)
        assert torch.equal(found.free, whole.free)
        assert found.value.numel() == 0
    tangent = torch.randn_like(parameters)
    wanted = fisher_of(network, kind, parameters, x)(tangent)
    moved = torch.zeros_like(wanted)
    moved[:, own] = fisher_of(network, kind, parameters, x, part=ACTOR)(tangent[:, own])
    torch.testing.assert_close(moved, wanted, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_critic_alone_has_the_same_values_and_slopes(shape, shared):
    """Of a shared trunk the value head, over features."""
    network, _, parameters, x = setting(GaussianFamily, shape, shared=shared)
    linear = network.linearise(parameters, x)
    alone = network.linearise(parameters, network.entering(parameters, x, CRITIC), part=CRITIC)
    assert torch.equal(alone.heads.value, linear.heads.value)
    assert torch.equal(network.heads(parameters, x, part=CRITIC).value, linear.heads.value)
    assert alone.heads.output.numel() == alone.heads.free.numel() == 0
    by_value = torch.randn_like(linear.heads.value)
    nothing = Heads(*(torch.zeros_like(part) for part in linear.heads[:3]))
    whole = linear.vjp(nothing._replace(value=by_value))
    found = alone.vjp(alone.heads._replace(value=by_value))
    own = network.parts[CRITIC]
    torch.testing.assert_close(found, whole[:, own], rtol=1e-12, atol=1e-14)
    if not shared:
        assert (whole[:, : own.start] == 0).all()
        assert own.stop == network.layout.size
