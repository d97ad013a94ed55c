"""Recurrent networks as modules: layers over each row, a cell over the rows of a sequence, heads.

The layers before a cell are any module over rows. They, and the products of a cell with its inputs, are made
for all rows at once; only a cell's products with its own state wait for each other.

Shapes: B rows of N sequences, H features of a row, W units of the cell, M numbers of state, D policy outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import torch
from torch import Tensor, nn

from rlcli.nets.recurrent import gru, lstm
from rlcli.nets.recurrent.sequences import Sequences, sequences

CELLS: dict[str, ModuleType] = {"gru": gru, "lstm": lstm}


@dataclass(frozen=True)
class Shape:
    """Sizes of a recurrent network."""

    before: Callable[[], nn.Module]
    """Makes what each trunk has before its cell: rows [B, ...] -> features [B, H]."""
    features: int
    """H."""
    cell: str
    units: int
    """W."""
    outputs: int
    """D."""
    shared: bool

    @property
    def memory_width(self) -> int:
        """M: the state of the one trunk, or the actor's and then the critic's."""
        return CELLS[self.cell].STATES * self.units * (1 if self.shared else 2)


class Trunk(nn.Module):
    """Layers and a cell; the parameters of the cell are those of torch's."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.before = shape.before()
        self._unroll, gates = CELLS[shape.cell].unroll, CELLS[shape.cell].GATES * shape.units
        self.inputs, self.state = nn.Linear(shape.features, gates), nn.Linear(shape.units, gates)
        bound = shape.units**-0.5
        for parameter in (*self.inputs.parameters(), *self.state.parameters()):
            nn.init.uniform_(parameter, -bound, bound)

    def forward(self, inputs: Tensor, state: Tensor, of: Sequences) -> tuple[Tensor, Tensor]:
        """Features [B, W] of rows [B, ...], and states [B, .] after them."""
        driven = of.steps(self.inputs(self.before(inputs)))
        outputs, after = self._unroll(driven, self.state.weight, self.state.bias, state, of)
        return outputs.flatten(0, 1), after.flatten(0, 1)


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
        self.trunk = Trunk(shape)
        self.policy = nn.Linear(shape.units, shape.outputs)
        if shape.shared:
            self.value = nn.Linear(shape.units, 1)
        else:
            self.critic = Critic(shape)
        self._shared = shape.shared

    def forward(self, inputs: Tensor, state: Tensor, begins: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Outputs [B, D], values [B] and states after rows [B, M]."""
        of = sequences(state, begins)
        if self._shared:
            features, after = self.trunk(inputs, state, of)
            return self.policy(features), self.value(features).squeeze(-1), after
        actor, critic = state.chunk(2, -1)
        features, after = self.trunk(inputs, actor, of)
        others, after_others = self.critic.trunk(inputs, critic, of)
        value = self.critic.value(others).squeeze(-1)
        return self.policy(features), value, torch.cat((after, after_others), -1)


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
