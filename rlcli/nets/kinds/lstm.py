"""network=lstm: multilayer perceptrons, a recurrent cell after each, and linear heads."""

from __future__ import annotations

from rlcli.config.schema import NetworkConfig
from rlcli.nets.kinds import mlp
from rlcli.nets.network import Network
from rlcli.nets.observations import Encoder
from rlcli.nets.recurrent.network import recurrent
from rlcli.nets.recurrent.perceptron import Perceptron

SMALLEST = Encoder("box", 1, normalize=False)


def network(config: NetworkConfig, encoder: Encoder, outputs: int, free: int) -> Network:
    """LSTMs behind layers of `network.hidden`."""
    before = Perceptron(encoder.width, config.hidden, config.activation)
    return recurrent("lstm", config, before, encoder, outputs, free)


def obstacle(encoder: Encoder) -> str | None:
    """Why observations cannot be read: as an MLP's, whose layers come before the cell."""
    return mlp.obstacle(encoder)
