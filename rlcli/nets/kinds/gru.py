"""network=gru: layers or convolutions, a recurrent cell behind them, and linear heads."""

from __future__ import annotations

from rlcli.config.schema.network import NetworkConfig
from rlcli.nets.network import Network
from rlcli.nets.observations import Encoder
from rlcli.nets.recurrent import before
from rlcli.nets.recurrent.network import recurrent


def network(config: NetworkConfig, encoder: Encoder, outputs: int, free: int) -> Network:
    """GRUs behind what `network.before` names."""
    return recurrent("gru", config, encoder, outputs, free)


def smallest(config: NetworkConfig) -> Encoder:
    """The smallest observations that what is before the cell reads."""
    return before.smallest(config)


def obstacle(config: NetworkConfig, encoder: Encoder) -> str | None:
    """Why what is before the cell cannot read observations."""
    return before.obstacle(config, encoder)
