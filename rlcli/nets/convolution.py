"""The first convolution of a network over images: from bytes, in whole blocks where strides allow it.

Shapes: B images, C channels, H height, W width, s stride, K channels of the result.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

WHITE = 255.0
"""The largest value of a pixel."""
WORDS = {2: torch.int16, 4: torch.int32, 8: torch.int64}
"""What holds as many bytes."""


class PixelConv2d(nn.Conv2d):
    """A convolution of pixels divided by 255.

    Where the kernel is a whole number k of strides s, without padding, it is computed as one of stride 1 and
    kernel k, over images of H/s x W/s places with C s² channels: each is a block of s x s pixels. These are
    the same products in another order, of images and weights alike (`pixel_unshuffle`); processors multiply
    many channels faster than few.
    """

    def forward(self, images: Tensor) -> Tensor:
        """[B, K, h, w] of images [B, C, H, W], uint8."""
        (stride, other), kernel = self.stride, self.kernel_size
        blocky = stride == other > 1 and self.padding == (0, 0) and not any(side % stride for side in kernel)
        if not blocky:
            return super().forward(_scaled(images, self.weight.dtype))
        x = _scaled(blocks(images, stride), self.weight.dtype)
        weight: Tensor = nn.functional.pixel_unshuffle(self.weight, stride)
        return nn.functional.conv2d(x, weight, self.bias)


def blocks(images: Tensor, size: int) -> Tensor:
    """Images [B, C, H, W] as [B, C s², H // s, W // s], as `pixel_unshuffle` has them; channels lie last."""
    height, width = (side // size * size for side in images.shape[2:])
    images = images[:, :, :height, :width]
    word, places = WORDS.get(size), (*images.stride()[:3], images.storage_offset())
    whole = images.dtype is torch.uint8 and images.stride(3) == 1 and not any(at % size for at in places)
    if word is not None and whole:  # a row of a block moves at once
        rows = torch.unflatten(images.view(word), 2, (-1, size)).permute(0, 2, 4, 1, 3)
        apart = rows.contiguous().view(torch.uint8)
    else:
        columns = torch.unflatten(images, 3, (-1, size))
        apart = torch.unflatten(columns, 2, (-1, size)).permute(0, 2, 4, 1, 3, 5)
    return apart.flatten(3).movedim(-1, 1)


def _scaled(pixels: Tensor, dtype: torch.dtype) -> Tensor:
    """0 to 1, with channels last in memory."""
    return pixels.to(dtype, memory_format=torch.channels_last).div_(WHITE)
