"""Conversion between flat buffers and Stable-Baselines3's modules: parameters and optimiser state.

Shapes: P parameters of one run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor

from rlcli.learner.state import OptimiserState
from rlcli.nets.network import Network
from rlcli.nets.stacked.layout import Layout
from rlcli.nets.stacked.mlp import MLP


def layout_of(network: Network) -> Layout:
    """Layout of a network's parameters: SB3 has multilayer perceptrons only (`sb3_mapping`)."""
    assert isinstance(network, MLP), "refused by sb3_mapping"
    return network.layout


def by_name(layout: Layout, flat: Tensor) -> dict[str, Tensor]:
    """A flat buffer [P] as views under the names and in the shapes of SB3's parameters."""
    parts = layout.unflatten(flat.unsqueeze(0))
    views = {}
    for depth in range(len(layout.hidden)):
        for trunk, name in enumerate(("policy_net", "value_net")):
            layer = f"mlp_extractor.{name}.{2 * depth}"
            views[f"{layer}.weight"] = parts[f"trunk.{depth}.weight"][0, trunk].T
            views[f"{layer}.bias"] = parts[f"trunk.{depth}.bias"][0, trunk]
    for head, name in (("policy", "action_net"), ("value", "value_net")):
        views[f"{name}.weight"] = parts[f"{head}.weight"][0].T
        views[f"{name}.bias"] = parts[f"{head}.bias"][0]
    if layout.free:
        views["log_std"] = parts["policy.free"][0, 0]
    return views


@torch.no_grad()
def load_parameters(layout: Layout, flat: Tensor, policy: ActorCriticPolicy) -> None:
    """Sets the parameters of SB3's policy to those of a flat buffer [P]."""
    views = by_name(layout, flat)
    own = dict(policy.named_parameters())
    assert own.keys() == views.keys(), sorted(own.keys() ^ views.keys())
    for name, parameter in own.items():
        parameter.copy_(views[name])


@torch.no_grad()
def read_parameters(layout: Layout, policy: ActorCriticPolicy) -> Tensor:
    """The parameters of SB3's policy as a flat buffer [P]."""
    flat = torch.empty(layout.size)
    views = by_name(layout, flat)
    for name, parameter in policy.named_parameters():
        views[name].copy_(parameter)
    return flat


class Memory(NamedTuple):
    """Under which names one of torch's optimisers keeps our moments; None: it has none."""

    first: str | None
    second: str | None
    steps: Callable[[float], object]
    """How it keeps its step count."""


MEMORIES = {
    "adam": Memory("exp_avg", "exp_avg_sq", torch.tensor),
    "rmsprop": Memory(None, "square_avg", int),
    "sgd": Memory(None, None, float),
}


def load_optimiser(
    layout: Layout, state: OptimiserState, memory: Memory, scale: float, policy: ActorCriticPolicy
) -> None:
    """Sets what the optimiser of SB3's policy remembers to one run's state (R = 1).

    Our loss is SB3's times `scale`, which our moments have in them and SB3's have not.
    """
    kept = policy.optimizer.state
    kept.clear()
    if memory.second is None:
        return
    first, second = by_name(layout, state.first[0] / scale), by_name(layout, state.second[0] / scale**2)
    for name, parameter in policy.named_parameters():
        kept[parameter] = {
            "step": memory.steps(float(state.steps)),
            memory.second: _like(second[name], parameter),
        }
        if memory.first is not None:
            kept[parameter][memory.first] = _like(first[name], parameter)


def read_optimiser(
    layout: Layout,
    before: OptimiserState,
    steps: int,
    memory: Memory,
    scale: float,
    policy: ActorCriticPolicy,
) -> OptimiserState:
    """What the optimiser remembers after `steps` more gradient steps."""
    first, second = before.first[0].clone(), before.second[0].clone()
    firsts, seconds = by_name(layout, first), by_name(layout, second)
    for name, parameter in policy.named_parameters():
        kept = policy.optimizer.state.get(parameter, {})
        if memory.first is not None:
            firsts[name].copy_(kept[memory.first] * scale)
        if memory.second is not None:
            seconds[name].copy_(kept[memory.second] * scale**2)
    return OptimiserState(first.unsqueeze(0), second.unsqueeze(0), before.steps + steps)


def _like(values: Tensor, parameter: Tensor) -> Tensor:
    return values.to(parameter.device).clone(memory_format=torch.contiguous_format)
