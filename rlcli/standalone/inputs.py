"""Observations as the environment gives them, encoded for a network: one tensor per member, batch first.

Shapes: B observations, F features, K choices of a mask, M numbers of recurrent state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from rlcli.envs.masks import MEMBER
from rlcli.envs.members import Member
from rlcli.envs.spec import ObservationSpec
from rlcli.nets.observations import CLIP, Encoder, Moments

DTYPES: dict[str, torch.dtype] = {
    "bool": torch.bool,
    "uint8": torch.uint8,
    "int8": torch.int8,
    "int16": torch.int16,
    "int32": torch.int32,
    "int64": torch.int64,
    "float16": torch.float16,
    "float32": torch.float32,
    "float64": torch.float64,
}
"""Types of numpy's that torch and ONNX both compute with."""
OBSERVATION, STATE, NEXT_STATE = "observation", "state", "next_state"
"""Names: of an observation that is one array, and of the state of a policy with memory, before and after."""

RESERVED = ("action", "logits", "mean", "log_std", "value", STATE, NEXT_STATE)
"""Names of other inputs and of outputs; ONNX has one table of names for all."""


@dataclass(frozen=True)
class Input:
    """One tensor [B, *shape] that a policy reads."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype


class Encoded(NamedTuple):
    """What a network reads."""

    images: list[Tensor]
    """Each [B, *shape], uint8."""
    features: Tensor
    """[B, F] float32, whitened where the run whitens."""


def torch_dtype(dtype: npt.DTypeLike) -> torch.dtype:
    """The type of torch's for values of a numpy type; int64 or float64 where it has none."""
    known = np.dtype(dtype)
    if known.name in DTYPES:
        return DTYPES[known.name]
    return torch.float64 if known.kind == "f" else torch.int64


def inputs_of(observation: ObservationSpec, memory_width: int) -> tuple[Input, ...]:
    """The tensors that a policy reads, in their order: members of the observation, its mask, its state."""
    found = [Input(_name(leaf.key), leaf.shape, _dtype(leaf)) for leaf in observation.leaves]
    if observation.mask is not None:
        name = observation.mask.member or MEMBER
        found.append(Input(name, (observation.mask.width,), torch.int8))
    if memory_width:
        found.append(Input(STATE, (memory_width,), torch.float32))
    return tuple(found)


def _name(key: str | int | None) -> str:
    if key is None:
        return OBSERVATION
    return key if isinstance(key, str) and key not in RESERVED else f"{OBSERVATION}_{key}"


def _dtype(leaf: Member) -> torch.dtype:
    if leaf.kind == "multibinary":
        return torch.int8
    return torch.int64 if leaf.sizes is not None else torch_dtype(leaf.declared)


class OneHot(nn.Module):
    """Elements [B, ...] that are one of some choices each, as [B, F] of zeros and ones."""

    def __init__(self, sizes: tuple[int, ...], start: tuple[int, ...]) -> None:
        super().__init__()
        self.sizes = sizes
        for element, (size, first) in enumerate(zip(sizes, start, strict=True)):
            self.register_buffer(f"choices_{element}", torch.arange(first, first + size), persistent=False)

    def forward(self, values: Tensor) -> Tensor:
        """[B, F] float32."""
        flat = values.reshape(-1, len(self.sizes)).long()
        return torch.cat(
            [
                (flat[:, element : element + 1] == self.get_buffer(f"choices_{element}")).float()
                for element in range(len(self.sizes))
            ],
            -1,
        )


class Numbers(nn.Module):
    """Numbers [B, ...] of any type as [B, F] in the type that a run stores observations in."""

    def __init__(self, width: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.width, self.dtype = width, dtype

    def forward(self, values: Tensor) -> Tensor:
        """[B, F]."""
        return values.reshape(-1, self.width).to(self.dtype)


class Whitening(nn.Module):
    """(x - mean) scale, clipped to [-10, 10]; in float64, as float32 would lose what is small beside it."""

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)

    def forward(self, features: Tensor) -> Tensor:
        """[B, F] float32."""
        whitened = ((features.double() - self.mean) * self.scale).clamp(-CLIP, CLIP)
        return whitened.float()


class Encoding(nn.Module):
    """Members of observations [B, *shape] as images and features."""

    def __init__(self, observation: ObservationSpec, encoder: Encoder, moments: Moments) -> None:
        super().__init__()
        numbers = observation.numbers or observation.dtype
        dtype = torch_dtype(numbers) if numbers.kind == "f" else torch.float32
        self._is_image = [leaf.is_image for leaf in observation.leaves]
        self.members = nn.ModuleList(_columns(leaf, dtype) for leaf in observation.leaves)
        self.whitening: Whitening | None = None
        if encoder.normalize:
            self.whitening = Whitening(*(part[0, 0].clone() for part in encoder.whitening(moments)))

    def forward(self, *members: Tensor) -> Encoded:
        """Members in the order of the observation's leaves."""
        images: list[Tensor] = []
        columns: list[Tensor] = []
        for member, values, image in zip(self.members, members, self._is_image, strict=True):
            (images if image else columns).append(member(values))
        features = torch.cat(columns, -1) if columns else images[0].flatten(1)[:, :0]
        return Encoded(images, features.float() if self.whitening is None else self.whitening(features))


def _columns(leaf: Member, dtype: torch.dtype) -> nn.Module:
    if leaf.is_image:
        return nn.Identity()
    if leaf.sizes is not None:
        return OneHot(leaf.sizes, leaf.start)
    return Numbers(leaf.width, dtype)


def numpy_dtype(dtype: torch.dtype) -> np.dtype[Any]:
    """The inverse of `torch_dtype`."""
    return np.dtype({own: name for name, own in DTYPES.items()}[dtype])
