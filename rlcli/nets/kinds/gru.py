"""network=gru: multilayer perceptrons, a GRU after each, and linear heads."""

from __future__ import annotations

from rlcli.config.schema import NetworkConfig
from rlcli.nets.network import Network
from rlcli.nets.observations import Encoder
from rlcli.nets.recurrent.network import recurrent

SMALLEST = Encoder("box", 1, normalize=False)


def network(config: NetworkConfig, encoder: Encoder, outputs: int, free: int) -> Network:
    """A module behind the interface of networks."""
    return recurrent("gru", config, encoder, outputs, free)
