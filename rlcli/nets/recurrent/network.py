"""Recurrent networks from a config: multilayer perceptrons before the cells."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

from torch import nn

from rlcli.config.schema import NetworkConfig
from rlcli.nets.module import ModuleNetwork
from rlcli.nets.observations import Encoder
from rlcli.nets.recurrent.modules import Recurrent, Shape, orthogonal

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "elu": nn.ELU,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
}


def recurrent(cell: str, config: NetworkConfig, encoder: Encoder, outputs: int, free: int) -> ModuleNetwork:
    """A cell of `network.cell_size` over layers of `network.hidden`; allocates nothing."""
    hidden = config.hidden
    layers = partial(perceptron, encoder.width, hidden, ACTIVATIONS[config.activation])
    features = hidden[-1] if hidden else encoder.width
    shape = Shape(layers, features, cell, config.cell_size, outputs, config.shared)
    return ModuleNetwork(
        partial(module, shape, config), encoder, free, config.log_std_init, memory_width=shape.memory_width
    )


def module(shape: Shape, config: NetworkConfig) -> Recurrent:
    """A module with its initial weights."""
    made = Recurrent(shape)
    if config.initialisation == "orthogonal":
        orthogonal(made, config.hidden_gain, config.policy_gain, config.value_gain)
    return made


def perceptron(inputs: int, hidden: Sequence[int], activation: type[nn.Module]) -> nn.Module:
    """Hidden layers over rows [B, I]; none at all pass them on."""
    layers: list[nn.Module] = []
    for width, size in pairwise((inputs, *hidden)):
        layers += [nn.Linear(width, size), activation()]
    return nn.Sequential(*layers)
