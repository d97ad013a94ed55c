"""Passes through the networks of R runs in C: outputs, gradients and tangents of whole batches.

Shapes: R runs, B rows, I inputs, D policy outputs, F free policy parameters, Q parameters described.
"""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import c_int, c_int64, c_void_p
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rlcli.kernels.arguments import optional, pointer, rows
from rlcli.kernels.library import function

DEPTH = 8
"""Most hidden layers that C takes: MAX_DEPTH of network.h."""
HEADS = 3
ACTIVATIONS = ("tanh", "relu", "elu", "silu", "gelu")
"""In the order of network.h."""
SUFFIXES = {torch.float32: "f", torch.float64: "d"}


class Head(NamedTuple):
    """Outputs of a tower, [H, columns] row by row, and their biases, as places in a run's parameters."""

    columns: int
    weight: int
    bias: int


class Tower(NamedTuple):
    """Hidden layers and the heads that read the last of them."""

    inputs: int
    widths: Sequence[int]
    weights: Sequence[int]
    """Places of each layer's weights, [inputs, width] row by row."""
    biases: Sequence[int]
    heads: Sequence[Head]
    outputs: int
    """Columns of the heads that are policy outputs; one more is V."""


@dataclass(frozen=True)
class Description:
    """One run's networks as C reads them."""

    activation: str
    size: int
    """Q."""
    free: int
    """The place of the free parameters."""
    free_width: int
    towers: Sequence[Tower]

    def __post_init__(self) -> None:
        numbers = [ACTIVATIONS.index(self.activation), self.size, self.free, self.free_width]
        numbers.append(len(self.towers))
        for tower in self.towers:
            numbers += _numbers(tower)
        numbers += [0] * ((2 - len(self.towers)) * TOWER)
        self._check()
        object.__setattr__(self, "_struct", np.array(numbers, np.int64))

    @cached_property
    def address(self) -> int:
        """Of the struct `Network` of network.h."""
        return int(self.__dict__["_struct"].ctypes.data)

    @cached_property
    def inputs(self) -> int:
        """I."""
        return self.towers[0].inputs

    @cached_property
    def outputs(self) -> int:
        """D."""
        return max(tower.outputs for tower in self.towers)

    def _check(self) -> None:
        """Raises `ValueError` where a place is outside the parameters."""
        for tower in self.towers:
            width, ends = tower.inputs, [self.free + self.free_width]
            if len(tower.widths) > DEPTH or len(tower.heads) > HEADS or not tower.heads:
                raise ValueError("more layers or heads than the kernels take")
            for own, weight, bias in zip(tower.widths, tower.weights, tower.biases, strict=True):
                ends += [weight + width * own, bias + own]
                width = own
            ends += [head.weight + width * head.columns for head in tower.heads]
            ends += [head.bias + head.columns for head in tower.heads]
            if max(ends) > self.size:
                raise ValueError("a layer lies outside the parameters")


TOWER = 1 + 1 + 3 * DEPTH + 1 + 3 * HEADS + 1
"""Numbers of the struct `Tower`."""


def _numbers(tower: Tower) -> list[int]:
    def room(values: Sequence[int], size: int) -> list[int]:
        return [*values, *[0] * (size - len(values))]

    found = [tower.inputs, len(tower.widths)]
    for layer in (tower.widths, tower.weights, tower.biases):
        found += room(layer, DEPTH)
    found.append(len(tower.heads))
    for head in zip(*tower.heads, strict=True):
        found += room(head, HEADS)
    return [*found, tower.outputs]


def heads(
    net: Description, parameters: Tensor, inputs: Tensor, outputs: Tensor | None, values: Tensor | None
) -> None:
    """Fills outputs [R, B, D] and values [R, B] at inputs [R, B, I] for parameters [R, P >= Q]."""
    runs, samples, dtype = *inputs.shape[:2], inputs.dtype
    _call(
        "heads",
        net,
        parameters,
        inputs,
        optional("outputs", outputs, dtype, (runs, samples, net.outputs)),
        optional("values", values, dtype, (runs, samples)),
    )


def vjp(
    net: Description,
    parameters: Tensor,
    inputs: Tensor,
    by_outputs: Tensor | None,
    by_values: Tensor | None,
    by_free: Tensor | None,
) -> Tensor:
    """The gradient [R, Q] by the parameters, from those by outputs, values and free parameters [R, 1, F]."""
    runs, samples, dtype = *inputs.shape[:2], inputs.dtype
    gradient = parameters.new_empty(runs, net.size)
    _call(
        "vjp",
        net,
        parameters,
        inputs,
        optional("by_outputs", by_outputs, dtype, (runs, samples, net.outputs)),
        optional("by_values", by_values, dtype, (runs, samples)),
        optional("by_free", by_free, dtype, (runs, 1, net.free_width)),
        pointer("gradient", gradient, dtype, (runs, net.size)),
    )
    return gradient


def jvp(
    net: Description,
    parameters: Tensor,
    inputs: Tensor,
    tangent: Tensor,
    outputs: Tensor | None,
    values: Tensor | None,
) -> None:
    """Fills the tangents of outputs [R, B, D] and values [R, B] along a tangent [R, Q] of the parameters."""
    runs, samples, dtype = *inputs.shape[:2], inputs.dtype
    _call(
        "jvp",
        net,
        parameters,
        inputs,
        pointer("tangent", tangent, dtype, (runs, net.size)),
        optional("outputs", outputs, dtype, (runs, samples, net.outputs)),
        optional("values", values, dtype, (runs, samples)),
    )


def features(net: Description, parameters: Tensor, inputs: Tensor) -> Tensor:
    """The last hidden layer [R, B, H] of the first tower at inputs [R, B, I]."""
    found = inputs.new_empty(*inputs.shape[:2], net.towers[0].widths[-1])
    _call("features", net, parameters, inputs, pointer("features", found, inputs.dtype, tuple(found.shape)))
    return found


def _parameters(net: Description, parameters: Tensor, runs: int, dtype: torch.dtype) -> tuple[int, int]:
    if parameters.shape[0] != runs or parameters.shape[1] < net.size:
        raise ValueError(f"parameters must be [{runs}, {net.size}], not {tuple(parameters.shape)}")
    return rows("parameters", parameters, dtype, (runs, parameters.shape[1]))


def _call(name: str, net: Description, parameters: Tensor, inputs: Tensor, *places: int | None) -> None:
    """Calls the function of the inputs' precision: description, R, B, inputs, parameters, then `places`."""
    runs, samples, dtype = *inputs.shape[:2], inputs.dtype
    at, stride = _parameters(net, parameters, runs, dtype)
    types = (c_void_p, c_int64, c_int64, c_void_p, c_void_p, c_int64, *(c_void_p,) * len(places))
    function(f"{name}_{SUFFIXES[dtype]}", *types, result=c_int)(
        net.address, runs, samples, pointer("inputs", inputs, dtype, (runs, samples, net.inputs)), at, stride,
        *places,
    )  # fmt: skip
