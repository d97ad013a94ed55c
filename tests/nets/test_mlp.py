"""The written-out passes against torch's modules and automatic differentiation; initial weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rlcli.nets.network import ACTOR, ALL, CRITIC, Heads, in_order, vjp_by_blocks
from rlcli.nets.stacked.activations import ACTIVATIONS
from rlcli.nets.stacked.layout import Initialisation
from rlcli.nets.stacked.mlp import MLP
from tests.nets.mlps import mlp, parameters_of

MODULES = {"tanh": nn.Tanh, "relu": nn.ReLU, "elu": nn.ELU, "silu": nn.SiLU, "gelu": nn.GELU}
SHAPES = [
    (4, (), 2), (4, (1,), 2), (4, (5,), 2), (3, (64, 64), 6), (1, (5, 3), 2), (4, (5, 1, 3), 1), (1, (), 1),
    (1, (1,), 1), (2, (1, 1), 3),
]  # fmt: skip


def module(network: MLP, parts: dict[str, torch.Tensor], run: int, trunk: int, head: str) -> nn.Sequential:
    """One run's actor or critic as torch's own modules."""
    layers: list[nn.Module] = []

    def add(weight: torch.Tensor, bias: torch.Tensor) -> None:
        layer = nn.Linear(*weight.shape, dtype=torch.float64)
        layer.weight.data, layer.bias.data = weight.T.clone(), bias.clone()
        layers.append(layer)

    for depth in range(len(network.layout.hidden)):
        add(parts[f"trunk.{depth}.weight"][run, trunk], parts[f"trunk.{depth}.bias"][run, trunk])
        layers.append(MODULES[network.layout.activation]())
    add(parts[f"{head}.weight"][run], parts[f"{head}.bias"][run])
    return nn.Sequential(*layers)


def test_every_activation_is_compared():
    assert set(MODULES) == set(ACTIVATIONS)


@pytest.mark.broken_by(
    "the critic's head read off the actor's trunk",
    "nets/stacked/passes.py",
    "weight[:, -1, self.value_rows] = value.transpose(-1, -2)",
    "weight[:, 0, self.value_rows] = value.transpose(-1, -2)",
)
@pytest.mark.broken_by(
    "the first layer's bias twice",
    "nets/stacked/passes.py",
    "torch.cat((x, x.new_ones(*x.shape[:-1], 1)), -1)",
    "torch.cat((x, 2.0 * x.new_ones(*x.shape[:-1], 1)), -1)",
)
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("activation", MODULES)
def test_the_heads_are_those_of_torch_modules(activation, shared):
    network = mlp(4, (5, 3), 2, 0, activation, shared)
    parameters = parameters_of(network)
    parts = network.layout.unflatten(parameters)
    x = torch.randn(2, 9, 4, dtype=torch.float64)
    output = network.heads(parameters, x, part=ACTOR).output
    value = network.heads(parameters, x, part=CRITIC).value
    for run in range(2):
        actor, critic = (
            module(network, parts, run, trunk, head) for trunk, head in ((0, "policy"), (-1, "value"))
        )
        torch.testing.assert_close(output[run], actor(x[run]).detach())
        torch.testing.assert_close(value[run], critic(x[run]).squeeze(-1).detach())


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("activation", MODULES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_vjp_is_the_gradient_of_policy_and_value(shape, activation, shared):
    inputs, hidden, outputs = shape
    network = mlp(inputs, hidden, outputs, outputs, activation, shared)
    parameters = parameters_of(network).requires_grad_()
    x = torch.randn(2, 7, inputs, dtype=torch.float64)
    by = Heads(
        torch.randn(2, 7, outputs, dtype=torch.float64),
        torch.randn(2, 1, outputs, dtype=torch.float64),
        torch.randn(2, 7, dtype=torch.float64),
    )
    output, free, value, _ = network.heads(parameters, x)
    total = (by.output * output).sum() + (by.free * free).sum() + (by.value * value).sum()
    (wanted,) = torch.autograd.grad(total, parameters)
    with torch.no_grad():
        linear = network.linearise(parameters, x)
        found = linear.vjp(by)
    torch.testing.assert_close(linear.heads.output, output.detach())
    torch.testing.assert_close(linear.heads.value, value.detach())
    assert torch.equal(linear.heads.free, free)
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.broken_by(
    "the gradients of the first few runs for all of them",
    "nets/network.py",
    "Heads(by.output[runs], by.free[runs], by.value[runs])",
    "Heads(by.output[: len(linear.heads.output)], by.free[runs], by.value[runs])",
    case="5-False",
)
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("runs", [1, 5])
def test_the_policys_own_gradient_is_that_part_of_the_whole(shared, runs, monkeypatch):
    network = mlp(4, (5, 3), 2, 2, shared=shared)
    parameters, x = parameters_of(network, runs), torch.randn(runs, 9, 4, dtype=torch.float64)
    linear = network.linearise(parameters, x)
    output, free, value, _ = linear.heads
    by = Heads(torch.randn_like(output), torch.randn_like(free), torch.zeros_like(value))
    wanted = linear.vjp(by)
    monkeypatch.setattr("rlcli.nets.stacked.mlp.BLOCK", 2 * 9 * 5)
    found = torch.zeros_like(wanted)
    found[:, network.parts[ACTOR]] = vjp_by_blocks(network, parameters, x, by, ACTOR)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-14)


def test_a_few_runs_at_a_time_give_what_all_give_at_once(monkeypatch):
    network = mlp(4, (64, 3), 2, 0)
    parameters, x = 0.3 * torch.randn(5, network.layout.size), torch.randn(5, 33, 4)
    at_once = network.heads(parameters, x)
    monkeypatch.setattr("rlcli.nets.stacked.mlp.BLOCK", 2 * 33 * 64)
    assert network.blocks(x) == [slice(0, 2), slice(2, 4), slice(4, 6)]
    in_turn = network.heads(parameters, x)
    assert all(torch.equal(*pair) for pair in zip(at_once[:3], in_turn[:3], strict=True))


@pytest.mark.broken_by(
    "passes at the parameters of the passes before",
    "nets/stacked/mlp.py",
    "kept is None or kept[0] is not parameters",
    "kept is None",
)
@pytest.mark.parametrize("part", [ALL, ACTOR, CRITIC])
def test_passes_are_at_the_parameters_given_and_follow_changes_in_place(part):
    """Whatever other parameters the same network was given before."""
    network = mlp(4, (5, 3), 2, 2)
    first, second = parameters_of(network), parameters_of(network)
    x = torch.randn(2, 9, 4, dtype=torch.float64)

    def everything(of: MLP, parameters: torch.Tensor) -> list[torch.Tensor]:
        linear = of.linearise(parameters, x, part=part)
        return [*linear.heads[:3], linear.vjp(linear.heads)]

    for change in range(3):
        for parameters in (first, second, first, first.clone()):
            fresh = mlp(4, (5, 3), 2, 2)
            pairs = zip(everything(network, parameters), everything(fresh, parameters.clone()), strict=True)
            assert all(torch.equal(*pair) for pair in pairs), change
        first.mul_(0.9)
        second.add_(0.1)


def test_vjp_leaves_what_it_was_given_alone():
    network = mlp(4, (5,), 2, 2)
    x, by = torch.randn(2, 7, 4), Heads(torch.randn(2, 7, 2), torch.randn(2, 1, 2), torch.randn(2, 7))
    given = [part.clone() for part in (*by[:3], x)]
    network.linearise(parameters_of(network).float(), x).vjp(by)
    assert all(torch.equal(*pair) for pair in zip((*by[:3], x), given, strict=True))


def test_a_shared_trunk_feels_both_heads_and_separate_ones_their_own():
    x = torch.randn(1, 6, 3, dtype=torch.float64)
    for shared in (False, True):
        network = mlp(3, (4,), 2, 0, "tanh", shared)
        linear = network.linearise(parameters_of(network, 1), x)
        zero = Heads(*(torch.zeros_like(part) for part in linear.heads[:3]))
        by_value = linear.vjp(zero._replace(value=torch.ones_like(zero.value)))
        trunk = network.layout.unflatten(by_value)["trunk.0.weight"]
        assert trunk.shape[1] == (1 if shared else 2)
        assert bool((trunk[:, 0] != 0).any()) == shared
        assert bool((trunk[:, -1] != 0).all())


def test_unflatten_gives_views_in_the_declared_order():
    network = mlp(3, (4,), 2, 2)
    parameters = torch.arange(2.0 * network.layout.size).view(2, -1)
    parts = network.layout.unflatten(parameters)
    declared = torch.cat([part.flatten(1) for part in parts.values()], 1)
    assert torch.equal(declared, in_order(network, parameters))
    assert torch.equal(declared.sort(1).values, parameters)
    parts["value.bias"].zero_()
    assert (parameters[:, -1] == 0).all()


@pytest.mark.parametrize("shape", [(4, (64, 64), 2), (111, (5,), 8), (1, (1,), 1), (2, (7, 3), 5)], ids=str)
def test_initial_weights_are_orthogonal_with_their_gains(shape):
    inputs, hidden, outputs = shape
    settings = Initialisation(True, hidden_gain=1.5, policy_gain=0.01, value_gain=0.7, log_std=-0.5)
    network = mlp(inputs, hidden, outputs, outputs, initialisation=settings)
    flat = network.initial(torch.Generator().manual_seed(0))
    parts = {name: part[0] for name, part in network.layout.unflatten(flat.unsqueeze(0)).items()}
    for name, part in parts.items():
        if name.endswith("bias"):
            assert (part == 0).all()
    assert (parts["policy.free"] == -0.5).all()
    gains = {"policy.weight": 0.01, "value.weight": 0.7}
    weights = {name: part for name, part in parts.items() if name.endswith("weight")}
    assert len(weights) == len(hidden) + 2
    for name, weight in weights.items():
        for matrix in weight.view(-1, *weight.shape[-2:]):
            short = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
            product = short @ short.T / gains.get(name, 1.5) ** 2
            torch.testing.assert_close(product, torch.eye(len(short)), rtol=1e-4, atol=1e-5)


def test_initial_weights_of_the_two_trunks_differ_and_depend_on_the_seed():
    network = mlp(4, (8,), 2, 0)
    flat, again, other = (network.initial(torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert torch.equal(flat, again)
    assert not torch.equal(flat, other)
    actor, critic = network.layout.unflatten(flat.unsqueeze(0))["trunk.0.weight"][0]
    assert not torch.equal(actor, critic)


def test_uniform_weights_are_torch_linear_defaults():
    settings = Initialisation(orthogonal=False, log_std=0.3)
    network = mlp(16, (400,), 25, 2, initialisation=settings)
    flat = network.initial(torch.Generator().manual_seed(0))
    parts = network.layout.unflatten(flat.unsqueeze(0))
    for name, fan_in in (
        ("trunk.0.weight", 16),
        ("trunk.0.bias", 16),
        ("policy.weight", 400),
        ("value.weight", 400),
    ):
        part, bound = parts[name], fan_in**-0.5
        assert part.abs().max() <= bound
        assert part.std().item() == pytest.approx(bound / 3**0.5, rel=0.1)
    assert (parts["policy.free"] == torch.tensor(0.3)).all()
