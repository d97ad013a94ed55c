"""network=nature_cnn: three convolutions and a hidden layer of 512 units over images.

Source: Mnih et al. 2015, 'Human-level control through deep reinforcement learning', Methods, Model
architecture.
"""

from __future__ import annotations

from torch import nn

from rlcli.config.schema.network import NetworkConfig
from rlcli.nets import cnn
from rlcli.nets.convolution import PixelConv2d
from rlcli.nets.network import Network
from rlcli.nets.observations import Encoder
from rlcli.nets.pixels import Image, PixelEncoder

SMALLEST_SIZE = 36
"""Pixels: the last convolution then gives one place."""


def network(config: NetworkConfig, encoder: Encoder, outputs: int, free: int) -> Network:
    """A module of torch, one call per run."""
    return cnn.pixel_network(config, encoder, outputs, free, convolutions)


def convolutions(channels: int) -> nn.Module:
    """Layers from images [B, C, H, W], uint8, to [B, 64, h, w]."""
    return nn.Sequential(
        PixelConv2d(channels, 32, 8, stride=4),
        nn.ReLU(inplace=True),
        nn.Conv2d(32, 64, 4, stride=2),
        nn.ReLU(inplace=True),
        nn.Conv2d(64, 64, 3, stride=1),
        nn.ReLU(inplace=True),
    )


def smallest(_: NetworkConfig) -> Encoder:
    """A grey image of the smallest size."""
    return PixelEncoder("box", 0, normalize=False, images=(Image((1, SMALLEST_SIZE, SMALLEST_SIZE)),))


def obstacle(_: NetworkConfig, encoder: Encoder) -> str | None:
    """Why observations cannot be read."""
    return cnn.obstacle(encoder, SMALLEST_SIZE)
