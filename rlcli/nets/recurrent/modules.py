"""Recurrent networks as modules: layers over each row, a cell over the rows of a sequence, heads.

The layers before a cell are any module over rows. They, and the products of cells with their inputs, are made
for all rows at once; only the cells' products with their own state wait for each other.

Shapes: B = T N rows of N sequences, K trunks, H features of a row, W units of a cell, S numbers of its state,
D policy outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Protocol

import numpy.typing as npt
import torch
from torch import Tensor, nn

from rlcli.nets.recurrent import gru, lstm
from rlcli.nets.recurrent.sequences import Sequences, sequences

Array = npt.NDArray[Any]
CELLS: dict[str, ModuleType] = {"gru": gru, "lstm": lstm}


class Before(Protocol):
    """What a trunk has before its cell: a function of single rows."""

    def module(self) -> tuple[nn.Module, int]:
        """Rows [B, ...] -> features [B, H], with torch's own initial weights; and H."""

    def on_host(self, parts: Mapping[str, Array]) -> Callable[[Array], Array] | None:
        """The same in numpy, by parameters [K, R, ...]: rows [R, N, ...] -> [K, R, N, H]; None: in torch."""


@dataclass(frozen=True)
class Shape:
    """Sizes of a recurrent network."""

    before: Before
    cell: str
    units: int
    """W."""
    outputs: int
    """D."""
    shared: bool

    @property
    def trunks(self) -> int:
        """K."""
        return 1 if self.shared else 2

    @property
    def state(self) -> int:
        """S."""
        return int(CELLS[self.cell].STATES) * self.units

    @property
    def gates(self) -> int:
        """Numbers that a cell adds up of its inputs and its state."""
        return int(CELLS[self.cell].GATES) * self.units


class Trunk(nn.Module):
    """Layers and a cell; the parameters of the cell are those of torch's."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.before, features = shape.before.module()
        self.inputs = nn.Linear(features, shape.gates)
        self.state = nn.Linear(shape.units, shape.gates)
        bound = shape.units**-0.5
        for parameter in (*self.inputs.parameters(), *self.state.parameters()):
            nn.init.uniform_(parameter, -bound, bound)

    def forward(self, inputs: Tensor) -> Tensor:
        """What rows [B, ...] add to the gates [B, .] of the cell."""
        gates: Tensor = self.inputs(self.before(inputs))
        return gates


class Critic(nn.Module):
    """A trunk of the value function's own."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.trunk = Trunk(shape)
        self.value = nn.Linear(shape.units, 1)


class Recurrent(nn.Module):
    """Policy and value function over one trunk, or one each."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.trunk = Trunk(shape)
        self.policy = nn.Linear(shape.units, shape.outputs)
        if shape.shared:
            self.value = nn.Linear(shape.units, 1)
        else:
            self.critic = Critic(shape)

    def forward(self, inputs: Tensor, state: Tensor, begins: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Outputs [B, D], values [B] and states after rows [B, K S]; `state` [N, K S] is the first."""
        trunks, value = [self.trunk], self.value if self.shape.shared else self.critic.value
        if not self.shape.shared:
            trunks.append(self.critic.trunk)
        features, after = self._unrolled(trunks, inputs, state, sequences(state, begins))
        return self.policy(features[0]), value(features[-1]).squeeze(-1), after

    def _unrolled(
        self, trunks: list[Trunk], inputs: Tensor, state: Tensor, of: Sequences
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        """Features [B, W] of each trunk, and the states of all after rows."""
        driven = torch.stack([of.steps(trunk(inputs)) for trunk in trunks], 1)
        weight = torch.stack([trunk.state.weight for trunk in trunks])
        bias = torch.stack([trunk.state.bias for trunk in trunks])
        first = torch.stack(state.chunk(len(trunks), -1))
        outputs, after = CELLS[self.shape.cell].unroll(driven, weight, bias, first, of)
        features = tuple(one.flatten(0, 1) for one in outputs.unbind(1))
        return features, torch.cat(after.unbind(1), -1).flatten(0, 1)


def orthogonal(module: Recurrent, hidden: float, policy: float, value: float) -> None:
    """Orthogonal weights of these gains and zero biases; those of cells of gain 1.

    Source: Huang et al. 2022, 'The 37 Implementation Details of Proximal Policy Optimization', the first of
    its details of LSTMs.
    """
    gains = {"policy": policy, "value": value, "inputs": 1.0, "state": 1.0}
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.ndim == 1:
                parameter.zero_()
            else:
                nn.init.orthogonal_(parameter, gains.get(name.split(".")[-2], hidden))
