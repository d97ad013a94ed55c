"""Fresh parameters of a network, drawn in C from a counter-based stream (orthogonal.h).

Shapes: I inputs and O outputs of a layer, P parameters of one run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ctypes import c_double, c_int64, c_uint64, c_void_p
from typing import Protocol

import torch
from torch import Tensor

from rlcli.kernels.library import Function, function


class Layout(Protocol):
    """Where parameters lie."""

    @property
    def size(self) -> int:
        """P."""

    def unflatten(self, parameters: Tensor) -> Mapping[str, Tensor]:
        """Views of [1, P] by name, in the order of drawing."""


class Initialisation(Protocol):
    """How parameters are drawn."""

    @property
    def orthogonal(self) -> bool:
        """Orthogonal weights and zero biases, or uniform numbers for both."""

    @property
    def hidden_gain(self) -> float:
        """Of the weights of hidden layers."""

    @property
    def policy_gain(self) -> float:
        """Of those of the policy head."""

    @property
    def value_gain(self) -> float:
        """Of those of the value head."""

    @property
    def log_std(self) -> float:
        """What free parameters are."""


def initial(layout: Layout, initialisation: Initialisation, seed: int, isa: str | None = None) -> Tensor:
    """Fresh parameters [P] of one run, from the stream of this seed (0 .. 2^64 - 1).

    Weights are orthogonal with gains, biases 0; or all uniform in ± 1/sqrt(I), as torch has them by default.
    Each number that is drawn has its place in the stream by the layout alone.
    """
    parameters = torch.zeros(1, layout.size)
    gains = {"policy": initialisation.policy_gain, "value": initialisation.value_gain}
    drawn = 0
    parts = layout.unflatten(parameters)
    for name, part in parts.items():
        group, _, leaf = name.rpartition(".")
        if leaf == "free":
            part.fill_(initialisation.log_std)
        elif not initialisation.orthogonal:
            weight = parts.get(f"{group}.weight")
            inputs = part.shape[-1] - 1 if weight is None else weight.shape[-2]
            part.copy_(uniform(seed, drawn, part.shape, inputs**-0.5, isa))
            drawn += part.numel()
        elif leaf == "weight":
            gain = gains.get(group, initialisation.hidden_gain)
            for matrix in part.flatten(0, -3):
                matrix.copy_(orthogonal(seed, drawn, matrix.shape, gain, isa))
                drawn += matrix.numel()
    return parameters[0]


def orthogonal(seed: int, first: int, shape: Sequence[int], gain: float, isa: str | None = None) -> Tensor:
    """A matrix [I, O] times `gain`, of which the shorter side is orthonormal: uniform among those (Haar).

    It is made of the elements `first` and on of the seed's stream.
    """
    inputs, outputs = shape
    made = torch.empty(inputs, outputs)
    room = torch.empty(made.numel(), dtype=torch.float64)
    types = (c_uint64, c_int64, c_int64, c_int64, c_double, c_void_p, c_void_p)
    call: Function = function("orthogonal", *types, isa=isa)
    call(seed, first, inputs, outputs, gain, room.data_ptr(), made.data_ptr())
    return made


def uniform(seed: int, first: int, shape: tuple[int, ...], bound: float, isa: str | None = None) -> Tensor:
    """Numbers between -bound and bound, from the elements `first` and on of the seed's stream."""
    made = torch.empty(shape)
    room = torch.empty(made.numel(), dtype=torch.float64)
    types = (c_uint64, c_int64, c_int64, c_double, c_void_p, c_void_p)
    call: Function = function("between", *types, isa=isa)
    call(seed, first, made.numel(), bound, room.data_ptr(), made.data_ptr())
    return made
