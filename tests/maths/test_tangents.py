"""A network's forward-mode derivative, its backward pass, and its actor and critic alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from rlcli.maths.distributions import GaussianFamily
from rlcli.nets.activations import ACTIVATIONS
from rlcli.nets.mlp import Heads
from tests.maths.networks import (
    FAMILIES,
    SHAPES,
    fisher_of,
    setting,
)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_jvp_is_the_derivative_along_the_tangent(shape, activation, shared):
    network, _, parameters, x = setting(GaussianFamily, shape, activation, shared)
    tangent = torch.randn_like(parameters)

    def heads(at: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return *network.policy(at, x), network.value(at, x)

    _, wanted = torch.autograd.functional.jvp(heads, parameters, tangent)
    _, tape = network.forward(network.unflatten(parameters), x)
    for found, exact in zip(network.jvp(tape, tangent), wanted, strict=True):
        assert found.dtype == torch.float64
        torch.testing.assert_close(found, exact, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_jvp_and_backward_are_transposes(activation, shared):
    network, _, parameters, x = setting(GaussianFamily, (3, (6, 4), 2), activation, shared)
    heads, tape = network.forward(network.unflatten(parameters), x)
    tangent, by = torch.randn_like(parameters), Heads(*(torch.randn_like(part) for part in heads))
    given = [part.clone() for part in (tangent, *by)]
    pushed = sum((a * b).flatten(1).sum(-1) for a, b in zip(network.jvp(tape, tangent), by, strict=True))
    torch.testing.assert_close(pushed, (network.backward(tape, by) * tangent).sum(-1))
    assert all(torch.equal(*pair) for pair in zip((tangent, *by), given, strict=True))


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_prepared_tape_gives_the_same_passes_again_and_again(shape, activation, shared):
    network, _, parameters, x = setting(GaussianFamily, shape, activation, shared)
    heads, tape = network.forward(network.unflatten(parameters), x)
    prepared = network.prepared(tape)
    found, wanted = [], []
    for _ in range(2):
        tangent, by = torch.randn_like(parameters), Heads(*(torch.randn_like(part) for part in heads))
        found += [*network.jvp(prepared, tangent), network.backward(prepared, by)]
        wanted += [*network.jvp(tape, tangent), network.backward(tape, by)]
    for part, same in zip(found, wanted, strict=True):
        torch.testing.assert_close(part, same, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_actor_alone_has_the_same_policy_and_fisher_matrix(shape, family, shared):
    network, kind, parameters, x = setting(family, shape, shared=shared)
    columns = network.actor_columns
    own = parameters[:, columns]
    for part, of_all in zip(network.actor.policy(own, x), network.policy(parameters, x), strict=True):
        assert torch.equal(part, of_all)
    tangent = torch.randn_like(parameters)
    whole = fisher_of(network, kind, parameters, x)(tangent)
    alone = torch.zeros_like(whole)
    alone[:, columns] = fisher_of(network.actor, kind, own, x)(tangent[:, columns])
    torch.testing.assert_close(alone, whole, rtol=1e-12, atol=1e-14)
    assert len(columns) == len(columns.unique()) == sum(network.actor.sizes)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_critic_alone_has_the_same_values_and_slopes(shape, shared):
    network, _, parameters, x = setting(GaussianFamily, shape, shared=shared)
    columns = network.critic_columns
    own = parameters[:, columns]
    heads, tape = network.forward(network.unflatten(parameters), x)
    alone, tape_alone = network.critic.forward(network.critic.unflatten(own), x)
    assert torch.equal(alone.value, heads.value)
    assert torch.equal(network.critic.value(own, x), heads.value)
    by_value = torch.randn_like(heads.value)
    nothing = heads._replace(output=torch.zeros_like(heads.output), free=torch.zeros_like(heads.free))
    whole = network.backward(tape, nothing._replace(value=by_value))
    found = torch.zeros_like(whole)
    found[:, columns] = network.critic.backward(tape_alone, alone._replace(value=by_value))
    torch.testing.assert_close(found, whole, rtol=1e-12, atol=1e-14)
    assert len(columns) == len(columns.unique()) == sum(network.critic.sizes)
