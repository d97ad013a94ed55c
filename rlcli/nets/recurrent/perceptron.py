"""A multilayer perceptron before the cell of a trunk.

Shapes: B rows, I inputs, K trunks, R runs, N environments, H features.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from rlcli.nets.stacked.activations import ACTIVATIONS

Array = npt.NDArray[Any]

MODULES: dict[str, type[nn.Module]] = {
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "elu": nn.ELU,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
}


@dataclass(frozen=True)
class Perceptron:
    """Hidden layers over flat rows [B, I]; none at all pass them on."""

    inputs: int
    hidden: tuple[int, ...]
    activation: str

    def module(self) -> tuple[nn.Module, int]:
        """See `Before`."""
        layers: list[nn.Module] = []
        for width, size in pairwise((self.inputs, *self.hidden)):
            layers += [nn.Linear(width, size), MODULES[self.activation]()]
        return nn.Sequential(*layers), (self.inputs, *self.hidden)[-1]

    def on_host(self, parts: Mapping[str, Array]) -> Callable[[Array], Array]:
        """See `Before`."""
        activate = ACTIVATIONS[self.activation].on_host
        layers = [
            (turned(parts[f"{2 * depth}.weight"]), parts[f"{2 * depth}.bias"][..., None, :])
            for depth in range(len(self.hidden))
        ]

        def features(x: Array) -> Array:
            for weight, bias in layers:
                x = np.matmul(x, weight)
                x += bias
                x = activate(x)
            return x

        return features


def turned(weight: Array) -> Array:
    """Weights [..., out, in] as [..., in, out] in memory, as products round by how matrices lie."""
    return np.ascontiguousarray(weight.swapaxes(-1, -2))
