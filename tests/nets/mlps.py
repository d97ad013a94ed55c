"""Multilayer perceptrons by their sizes, for tests."""

from __future__ import annotations

import torch
from torch import Tensor

from rlcli.nets.observations import Encoder
from rlcli.nets.stacked.layout import Initialisation, Layout
from rlcli.nets.stacked.mlp import MLP, STANDARD


def mlp(
    inputs: int,
    hidden: tuple[int, ...],
    outputs: int,
    free: int,
    activation: str = "tanh",
    shared: bool = False,
    initialisation: Initialisation = STANDARD,
) -> MLP:
    """Over boxes that are not whitened."""
    layout = Layout(inputs, hidden, outputs, free, activation, shared)
    return MLP(layout, Encoder("box", inputs, normalize=False), initialisation)


def parameters_of(network: MLP, runs: int = 2) -> Tensor:
    """Parameters [R, P] in float64, none of them near its initial value."""
    return 0.7 * torch.randn(runs, network.layout.size, dtype=torch.float64)
