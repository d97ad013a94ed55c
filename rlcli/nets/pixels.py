"""Observations with images as the rows that convolutional networks read: bytes, in which pixels stay uint8.

A row has the pixels of every image, as the environment gives them or with the channels of each pixel side
by side (`PixelEncoder.interleaved`), then the bytes of all other numbers, as float32, then one byte per
choice of a mask of actions, if there is one. Minibatches hold such rows; a network takes them apart.

Shapes: R runs, B rows, W bytes of a row before its mask, F numbers beside the images, K bytes of a mask, C
channels, H height, W width of an image.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rlcli.nets.observations import CLIP, Array, Encoder, Moments

FLOAT = 4
"""Bytes of a float32."""


@dataclass(frozen=True)
class Image:
    """One image of an observation."""

    shape: tuple[int, int, int]
    """As the environment has it: [H, W, C] or [C, H, W]."""
    name: str = ""
    """Its key in a Dict or Tuple; empty: it is the whole observation."""

    @property
    def channels_last(self) -> bool | None:
        """Whether channels are the last axis rather than the first: the shorter of both; None: equal.

        Images have more rows and columns than channels, stacked frames included.
        """
        first, _, last = self.shape
        return None if first == last else last < first

    @property
    def channels(self) -> int:
        """C."""
        return self.shape[-1 if self.channels_last else 0]

    @property
    def size(self) -> tuple[int, int]:
        """H and W."""
        height, width = self.shape[:2] if self.channels_last else self.shape[1:]
        return height, width

    @property
    def pixels(self) -> int:
        """Bytes of the image."""
        first, second, third = self.shape
        return first * second * third

    @property
    def text(self) -> str:
        """Shape and name, for a message."""
        sizes = " x ".join(map(str, self.shape))
        return f"{sizes} pixels, uint8" + (f", in {self.name!r}" if self.name else "")

    @property
    def interleaved(self) -> Image:
        """The same image as [H, W, C]."""
        return replace(self, shape=(*self.size, self.channels))

    def planes(self, rows: Tensor) -> Tensor:
        """The image of rows [B, pixels] as [B, C, H, W], a view."""
        image = rows.view(len(rows), *self.shape)
        return image.movedim(-1, 1) if self.channels_last else image


@dataclass(frozen=True)
class PixelEncoder(Encoder):
    """From raw observations, an image or a vector of bytes, to rows of bytes."""

    images: tuple[Image, ...] = ()
    numbers: torch.dtype = torch.float32
    """The type in which raw observations have all other numbers, whose count is `width`."""
    interleave: bool = False
    """Whether rows have images as [H, W, C], whatever raw observations have."""

    def interleaved(self) -> PixelEncoder:
        """One whose rows have the channels of each pixel side by side, as convolutions multiply fastest.

        Observations are moved once per update, and not in each pass over them.
        """
        return replace(self, interleave=True)

    @property
    def pixels(self) -> int:
        """Bytes of a row before its numbers."""
        return sum(image.pixels for image in self.images)

    @property
    def row_width(self) -> int:
        """W."""
        return self.pixels + FLOAT * self.width

    def blank(self, rows: int, device: str) -> Tensor:
        """Rows [B, W] without content."""
        return torch.zeros(rows, self.row_width, dtype=torch.uint8, device=device)

    def trial(self, rows: int) -> Tensor:
        """Rows [B, W] of any bytes and of numbers from -1 to 1."""
        draws = torch.Generator().manual_seed(0)
        pixels = torch.randint(0, 256, (rows, self.pixels), generator=draws, dtype=torch.uint8)
        return torch.cat((pixels, super().trial(rows).view(torch.uint8)), -1)

    def rows(self, observations: Tensor) -> Tensor:
        """The numbers of raw observations [R, B, ...] beside their images, [R, B, F]."""
        flat = observations.flatten(2)
        return _aligned(flat[..., self.pixels : flat.shape[-1] - self.mask]).view(self.numbers)

    def encode(self, observations: Tensor, moments: Moments) -> Tensor:
        """Raw observations [R, B, ...] as rows [R, B, W + K], their numbers whitened by frozen statistics."""
        flat = observations.flatten(2)
        if not self.width and not self.mask:
            return self._images(flat)
        content = self._content(observations, moments) if self.width else flat[..., :0]
        mask = flat[..., flat.shape[-1] - self.mask :]
        return torch.cat((self._images(flat), content, mask), -1)

    def _images(self, flat: Tensor) -> Tensor:
        """The pixels of raw rows [R, B, ...] as rows have them."""
        pixels = flat[..., : self.pixels]
        if not self.interleave or all(image.channels_last for image in self.images):
            return pixels
        parts = torch.split(pixels.flatten(0, 1), [image.pixels for image in self.images], -1)
        moved = [
            image.planes(part).movedim(1, -1).flatten(1)
            for image, part in zip(self.images, parts, strict=True)
        ]
        return (moved[0] if len(moved) == 1 else torch.cat(moved, -1)).view(pixels.shape)

    def _content(self, observations: Tensor, moments: Moments) -> Tensor:
        """The bytes of all other numbers, float32, whitened by frozen statistics."""
        numbers = self.rows(observations)
        if self.normalize:
            mean, scale = self.whitening(moments)
            numbers = ((numbers.double() - mean) * scale).clamp(-CLIP, CLIP)
        return numbers.float().contiguous().view(torch.uint8)

    def on_host(self, moments: Moments) -> Callable[[Array], Array]:
        """`encode` for numpy arrays."""
        return lambda observations: self.encode(torch.from_numpy(observations), moments).numpy()

    def apart(self, rows: Tensor) -> tuple[list[Tensor], Tensor]:
        """The images of rows [B, W], each uint8 [B, C, H, W], and the numbers, float32 [B, F]."""
        sizes = [image.pixels for image in self.images] + [FLOAT * self.width]
        *images, numbers = torch.split(rows, sizes, -1)
        laid = [image.interleaved if self.interleave else image for image in self.images]
        return [image.planes(part) for image, part in zip(laid, images, strict=True)], floats(numbers)


def floats(content: Tensor) -> Tensor:
    """Bytes [B, 4 F] as float32 [B, F]."""
    if content.is_meta or not content.shape[1]:  # there are no bytes to reinterpret
        return content.new_empty(len(content), content.shape[1] // FLOAT, dtype=torch.float32)
    return _aligned(content).view(torch.float32)


def _aligned(content: Tensor) -> Tensor:
    """A copy, which begins where a number may begin in memory."""
    return content.clone(memory_format=torch.contiguous_format)
