"""Critics of action values: the head's outputs, the value of a state, gradients of what was taken."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from rlcli.maths.distributions import Categorical
from rlcli.nets.critic import ACTION_VALUES, STATE_VALUES
from rlcli.nets.network import ACTOR, ALL, CRITIC, Heads
from rlcli.nets.stacked.mlp import MLP
from tests.nets.mlps import mlp, parameters_of

ACTIONS = [1, 2, 3]


def valuing(actions: int, shared: bool) -> MLP:
    """A network with a value for each action."""
    found = mlp(4, (5, 3), actions, 0, "tanh", shared)
    return replace(found, layout=replace(found.layout, values=actions))


def values_of(network: MLP, parameters: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Q [R, B, A] by torch's own layers."""
    parts, found = network.layout.unflatten(parameters), []
    for run, h in enumerate(x):
        for depth in range(2):
            weight, bias = (parts[f"trunk.{depth}.{leaf}"][run, -1] for leaf in ("weight", "bias"))
            h = nn.functional.linear(h, weight.T, bias).tanh()
        found.append(nn.functional.linear(h, parts["value.weight"][run].T, parts["value.bias"][run]))
    return torch.stack(found)


@pytest.mark.broken_by(
    "each action's value with another's bias",
    "nets/stacked/passes.py",
    'bias[:, -1, self.value_rows, 0] = parts["value.bias"]',
    'bias[:, -1, self.value_rows, 0] = parts["value.bias"].flip(-1)',
    case="True-3",
)
@pytest.mark.parametrize("actions", ACTIONS)
@pytest.mark.parametrize("shared", [False, True])
def test_there_is_a_value_for_each_action(actions, shared):
    network = valuing(actions, shared)
    parameters, x = parameters_of(network), torch.randn(2, 9, 4, dtype=torch.float64)
    wanted = values_of(network, parameters, x)
    wanted = wanted if actions > 1 else wanted.squeeze(-1)
    for found in (
        network.heads(parameters, x).value,
        network.heads(parameters, x, part=CRITIC).value,
        network.both(parameters, x).value,
        network.linearise(parameters, x).heads.value,
    ):
        torch.testing.assert_close(found, wanted)
    assert network.heads(parameters, x, part=ACTOR).value.shape == (2, 9, 0)


@pytest.mark.broken_by(
    "gradients of action values for other actions",
    "nets/stacked/passes.py",
    "value = [weights[-1][:, self.value_rows].transpose(-1, -2), biases[-1][:, self.value_rows]]",
    "value = [weights[-1][:, self.value_rows].flip(1).transpose(-1, -2), biases[-1][:, self.value_rows]]",
    case="False-3",
)
@pytest.mark.parametrize("actions", ACTIONS)
@pytest.mark.parametrize("shared", [False, True])
def test_vjp_is_the_gradient_of_policy_and_action_values(actions, shared):
    network = valuing(actions, shared)
    parameters, x = parameters_of(network).requires_grad_(), torch.randn(2, 7, 4, dtype=torch.float64)
    heads = network.heads(parameters, x)
    by = Heads(torch.randn_like(heads.output), heads.free.detach(), torch.randn_like(heads.value))
    total = (by.output * heads.output).sum() + (by.value * heads.value).sum()
    (wanted,) = torch.autograd.grad(total, parameters)
    with torch.no_grad():
        found = network.linearise(parameters, x, part=ALL).vjp(by)
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)
        apart = network.linearise(parameters, network.entering(parameters, x, CRITIC), part=CRITIC)
        nothing = by.output[..., :0]
        critic = apart.vjp(Heads(nothing, heads.free[..., :0], by.value))
    if not shared:
        torch.testing.assert_close(critic, wanted[:, network.parts[CRITIC]], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("actions", ACTIONS)
def test_a_state_has_the_mean_of_its_actions_values(actions):
    head, logits = torch.randn(2, 2, 7, actions, dtype=torch.float64).unbind(0)
    policy, taken = Categorical(logits), torch.randint(actions, (2, 7))
    given = head.squeeze(-1) if actions == 1 else head
    wanted = torch.einsum("rba,rba->rb", logits.softmax(-1), head)
    torch.testing.assert_close(ACTION_VALUES.state_values(given, policy), wanted)
    one_hot = nn.functional.one_hot(taken, actions)
    torch.testing.assert_close(ACTION_VALUES.predictions(given, taken), (one_hot * head).sum(-1))
    by = torch.randn(2, 7, dtype=torch.float64)
    found = ACTION_VALUES.pullback(by, given, taken)
    assert found.shape == given.shape
    torch.testing.assert_close(found.view(head.shape), one_hot * by.unsqueeze(-1))


def test_a_critic_of_states_asks_for_neither_policy_nor_action():
    head, taken = torch.randn(2, 7), torch.randint(3, (2, 7))
    assert STATE_VALUES.state_values(head, Categorical(torch.randn(2, 7, 3))) is head
    assert STATE_VALUES.predictions(head, taken) is head
    assert STATE_VALUES.pullback(head, head, taken) is head
