"""The written-out passes against torch's modules and automatic differentiation; initial weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rlcli.nets.activations import ACTIVATIONS
from rlcli.nets.layout import Initialisation
from rlcli.nets.mlp import MLP, Heads

MODULES = {"tanh": nn.Tanh, "relu": nn.ReLU, "elu": nn.ELU, "silu": nn.SiLU, "gelu": nn.GELU}
SHAPES = [
    (4, (), 2), (4, (1,), 2), (4, (5,), 2), (3, (64, 64), 6), (1, (5, 3), 2), (4, (5, 1, 3), 1), (1, (), 1),
    (1, (1,), 1), (2, (1, 1), 3),
]  # fmt: skip


def parameters_of(network: MLP, runs: int = 2) -> torch.Tensor:
    return 0.7 * torch.randn(runs, sum(network.sizes), dtype=torch.float64)


def module(network: MLP, parts: dict[str, torch.Tensor], run: int, trunk: int, head: str) -> nn.Sequential:
    """One run's actor or critic as torch's own modules."""
    layers: list[nn.Module] = []

    def add(weight: torch.Tensor, bias: torch.Tensor) -> None:
        layer = nn.Linear(*weight.shape, dtype=torch.float64)
        layer.weight.data, layer.bias.data = weight.T.clone(), bias.clone()
        layers.append(layer)

    for depth in range(len(network.hidden)):
        add(parts[f"trunk.{depth}.weight"][run, trunk], parts[f"trunk.{depth}.bias"][run, trunk])
        layers.append(MODULES[network.activation]())
    add(parts[f"{head}.weight"][run], parts[f"{head}.bias"][run])
    return nn.Sequential(*layers)


def test_every_activation_is_compared():
    assert set(MODULES) == set(ACTIVATIONS)


@pytest.mark.broken_by(
    "the critic's head read off the actor's trunk",
    "nets/mlp.py",
    "weight[:, -1, self._value_row] = value.squeeze(-1)",
    "weight[:, 0, self._value_row] = value.squeeze(-1)",
)
@pytest.mark.broken_by(
    "the first layer's bias twice",
    "nets/mlp.py",
    "torch.cat((x, x.new_ones(*x.shape[:-1], 1)), -1)",
    "torch.cat((x, 2.0 * x.new_ones(*x.shape[:-1], 1)), -1)",
)
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("activation", MODULES)
def test_the_heads_are_those_of_torch_modules(activation, shared):
    network = MLP(4, (5, 3), 2, 0, activation, shared)
    parameters = parameters_of(network)
    parts = network.unflatten(parameters)
    x = torch.randn(2, 9, 4, dtype=torch.float64)
    output, _ = network.policy(parameters, x)
    value = network.value(parameters, x)
    for run in range(2):
        actor, critic = (
            module(network, parts, run, trunk, head) for trunk, head in ((0, "policy"), (-1, "value"))
        )
        torch.testing.assert_close(output[run], actor(x[run]).detach())
        torch.testing.assert_close(value[run], critic(x[run]).squeeze(-1).detach())


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("activation", MODULES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_backward_is_the_gradient_of_policy_and_value(shape, activation, shared):
    inputs, hidden, outputs = shape
    network = MLP(inputs, hidden, outputs, outputs, activation, shared)
    parameters = parameters_of(network).requires_grad_()
    x = torch.randn(2, 7, inputs, dtype=torch.float64)
    by = Heads(
        torch.randn(2, 7, outputs, dtype=torch.float64),
        torch.randn(2, 1, outputs, dtype=torch.float64),
        torch.randn(2, 7, dtype=torch.float64),
    )
    output, free = network.policy(parameters, x)
    value = network.value(parameters, x)
    total = (by.output * output).sum() + (by.free * free).sum() + (by.value * value).sum()
    (wanted,) = torch.autograd.grad(total, parameters)
    with torch.no_grad():
        heads, tape = network.forward(network.unflatten(parameters), x)
        found = network.backward(tape, Heads(*(part.clone() for part in by)))
    torch.testing.assert_close(heads.output, output.detach())
    torch.testing.assert_close(heads.value, value.detach())
    assert torch.equal(heads.free, free)
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.broken_by(
    "the gradients of the first few runs for all of them",
    "nets/mlp.py",
    "by_heads = heads._replace(output=by_output[some], free=by_free[some])",
    "by_heads = heads._replace(output=by_output[: len(heads.output)], free=by_free[some])",
    case="5-False",
)
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("runs", [1, 5])
def test_the_policys_own_gradient_is_that_part_of_the_whole(shared, runs, monkeypatch):
    network = MLP(4, (5, 3), 2, 2, shared=shared)
    parameters, x = parameters_of(network, runs), torch.randn(runs, 9, 4, dtype=torch.float64)
    heads, tape = network.forward(network.unflatten(parameters), x)
    by = Heads(torch.randn_like(heads.output), torch.randn_like(heads.free), torch.zeros_like(heads.value))
    wanted = network.backward(tape, by)
    monkeypatch.setattr("rlcli.nets.mlp.BLOCK", 2 * 9 * 5)
    found = network.policy_gradient(parameters, x, by.output, by.free)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-14)


def test_a_few_runs_at_a_time_give_what_all_give_at_once(monkeypatch):
    network = MLP(4, (64, 3), 2, 0)
    parameters, x = 0.3 * torch.randn(5, sum(network.sizes)), torch.randn(5, 33, 4)
    at_once = network.policy(parameters, x)[0], network.value(parameters, x)
    monkeypatch.setattr("rlcli.nets.mlp.BLOCK", 2 * 33 * 64)
    in_turn = network.policy(parameters, x)[0], network.value(parameters, x)
    assert all(torch.equal(*pair) for pair in zip(at_once, in_turn, strict=True))


def test_backward_leaves_what_it_was_given_alone():
    network = MLP(4, (5,), 2, 2)
    x, by = torch.randn(2, 7, 4), Heads(torch.randn(2, 7, 2), torch.randn(2, 1, 2), torch.randn(2, 7))
    given = [part.clone() for part in (*by, x)]
    _, tape = network.forward(network.unflatten(parameters_of(network).float()), x)
    network.backward(tape, by)
    assert all(torch.equal(*pair) for pair in zip((*by, x), given, strict=True))


def test_a_shared_trunk_feels_both_heads_and_separate_ones_their_own():
    x = torch.randn(1, 6, 3, dtype=torch.float64)
    for shared in (False, True):
        network = MLP(3, (4,), 2, 0, "tanh", shared)
        heads, tape = network.forward(network.unflatten(parameters_of(network, 1)), x)
        zero = Heads(*(torch.zeros_like(part) for part in heads))
        by_value = network.backward(tape, zero._replace(value=torch.ones_like(heads.value)))
        trunk = network.unflatten(by_value)["trunk.0.weight"]
        assert trunk.shape[1] == (1 if shared else 2)
        assert bool((trunk[:, 0] != 0).any()) == shared
        assert bool((trunk[:, -1] != 0).all())


def test_unflatten_gives_views_in_order():
    network = MLP(3, (4,), 2, 2)
    parameters = torch.arange(2.0 * sum(network.sizes)).view(2, -1)
    parts = network.unflatten(parameters)
    assert torch.equal(torch.cat([part.flatten(1) for part in parts.values()], 1), parameters)
    parts["value.bias"].zero_()
    assert (parameters[:, -1] == 0).all()


@pytest.mark.parametrize("shape", [(4, (64, 64), 2), (111, (5,), 8), (1, (1,), 1), (2, (7, 3), 5)], ids=str)
def test_initial_weights_are_orthogonal_with_their_gains(shape):
    inputs, hidden, outputs = shape
    network = MLP(inputs, hidden, outputs, outputs)
    settings = Initialisation(True, hidden_gain=1.5, policy_gain=0.01, value_gain=0.7, log_std=-0.5)
    flat = network.initial(settings, torch.Generator().manual_seed(0))
    parts = {name: part[0] for name, part in network.unflatten(flat.unsqueeze(0)).items()}
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
    network = MLP(4, (8,), 2, 0)
    flat, again, other = (
        network.initial(Initialisation(), torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)
    )
    assert torch.equal(flat, again)
    assert not torch.equal(flat, other)
    actor, critic = network.unflatten(flat.unsqueeze(0))["trunk.0.weight"][0]
    assert not torch.equal(actor, critic)


def test_uniform_weights_are_torch_linear_defaults():
    network = MLP(16, (400,), 25, 2)
    flat = network.initial(Initialisation(orthogonal=False, log_std=0.3), torch.Generator().manual_seed(0))
    parts = network.unflatten(flat.unsqueeze(0))
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
