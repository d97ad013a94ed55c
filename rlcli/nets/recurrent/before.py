"""What is before a cell, by `network.before`: a perceptron over flat rows, or convolutions over images.

Each value is also a kind of network, whose observations are the ones that can be read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import nn

from rlcli.config.schema.network import NetworkConfig
from rlcli.nets import kinds
from rlcli.nets.cnn import Convolutions, Gains, PixelTrunk
from rlcli.nets.kinds import impala_resnet, nature_cnn
from rlcli.nets.observations import Encoder
from rlcli.nets.pixels import PixelEncoder
from rlcli.nets.recurrent.modules import Array, Before
from rlcli.nets.recurrent.perceptron import Perceptron

CONVOLUTIONS: dict[str, Convolutions] = {
    "nature_cnn": nature_cnn.convolutions,
    "impala_resnet": impala_resnet.convolutions,
}


@dataclass(frozen=True)
class Convolutional:
    """Convolutions and hidden layers over rows of bytes."""

    encoder: PixelEncoder
    convolutions: Convolutions
    hidden: tuple[int, ...]

    def module(self) -> tuple[nn.Module, int]:
        """See `Before`."""
        trunk = PixelTrunk(self.encoder, self.convolutions, self.hidden, Gains(orthogonal=False))
        return trunk, trunk.width

    def on_host(self, parts: Mapping[str, Array]) -> None:
        """None: convolutions act in torch."""


def before(config: NetworkConfig, encoder: Encoder) -> Before:
    """What `network.before` names; allocates nothing."""
    if config.before == "mlp":
        return Perceptron(encoder.width, config.hidden, config.activation)
    assert isinstance(encoder, PixelEncoder), "refused by `obstacle`"
    return Convolutional(encoder, CONVOLUTIONS[config.before], config.hidden)


def smallest(config: NetworkConfig) -> Encoder:
    """The encoder of the smallest observations that it reads."""
    return kinds.smallest(replace(config, name=config.before))


def obstacle(config: NetworkConfig, encoder: Encoder) -> str | None:
    """Why it cannot read observations."""
    return kinds.obstacle(replace(config, name=config.before), encoder)
