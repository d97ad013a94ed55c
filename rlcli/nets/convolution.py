"""The first convolution of a network over images: from bytes.

Shapes: B images, C channels, H height, W width, K channels of the result.
"""

from __future__ import annotations

from torch import Tensor, nn

WHITE = 255.0
"""The largest value of a pixel."""


class PixelConv2d(nn.Conv2d):
    """A convolution of pixels divided by 255: its weights are divided, which are fewer.

    Fastest where the channels of a pixel lie side by side in memory (`PixelEncoder.interleaved`).
    """

    def forward(self, images: Tensor) -> Tensor:
        """[B, K, h, w] of images [B, C, H, W], uint8."""
        weight = self.weight / WHITE
        found: Tensor = self._conv_forward(images.to(weight.dtype), weight, self.bias)
        return found
