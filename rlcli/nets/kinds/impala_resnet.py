"""network=impala_resnet: fifteen convolutions with residual connections and a hidden layer of 256 units.

Source: Espeholt et al. 2018, 'IMPALA', figure 3, the larger architecture, without its LSTM.
"""

from __future__ import annotations

from torch import Tensor, nn

from rlcli.config.schema.network import NetworkConfig
from rlcli.nets import cnn
from rlcli.nets.convolution import PixelConv2d
from rlcli.nets.network import Network
from rlcli.nets.observations import Encoder
from rlcli.nets.pixels import Image, PixelEncoder

SECTIONS = (16, 32, 32)
"""Channels of each section, which halves height and width."""
SMALLEST_SIZE = 2
"""Pixels: every layer is padded, but a single pixel has no neighbours."""


class Residual(nn.Module):
    """x + conv(relu(conv(relu(x))))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] of the same shape."""
        found: Tensor = self.second(self.first(x.relu()).relu_())
        return found + x


def network(config: NetworkConfig, encoder: Encoder, outputs: int, free: int) -> Network:
    """A module of torch, one call per run."""
    return cnn.pixel_network(config, encoder, outputs, free, convolutions)


def convolutions(channels: int) -> nn.Module:
    """Layers from images [B, C, H, W], uint8, to [B, 32, h, w]."""
    layers: list[nn.Module] = []
    for wanted in SECTIONS:
        layers += [
            (nn.Conv2d if layers else PixelConv2d)(channels, wanted, 3, padding=1),
            nn.MaxPool2d(3, stride=2, padding=1),
            Residual(wanted),
            Residual(wanted),
        ]
        channels = wanted
    return nn.Sequential(*layers, nn.ReLU(inplace=True))


def smallest(_: NetworkConfig) -> Encoder:
    """A grey image of the smallest size."""
    return PixelEncoder("box", 0, normalize=False, images=(Image((1, SMALLEST_SIZE, SMALLEST_SIZE)),))


def obstacle(_: NetworkConfig, encoder: Encoder) -> str | None:
    """Why observations cannot be read."""
    return cnn.obstacle(encoder, SMALLEST_SIZE)
