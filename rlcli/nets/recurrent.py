"""Recurrent networks: layers over each row, a cell over the rows of a sequence, heads.

The layers before the cell are any module over rows. Products with the inputs of the cell are made for all rows
at once; only its own products wait for each other, over the rows of the longest piece of an episode.

Shapes: B rows of N sequences, H features of a row, W units of the cell, M numbers of state, D policy outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from rlcli.nets.memory import Pieces, pieces

CELLS: dict[str, type[nn.RNNBase]] = {"lstm": nn.LSTM, "gru": nn.GRU}
"""Hochreiter and Schmidhuber 1997 with the forget gate of Gers et al. 2000; Cho et al. 2014, as torch has it:
the reset gate multiplies after the product with the state."""
STATES = {"lstm": 2, "gru": 1}
"""Vectors of W numbers that are a cell's state: output and cell state, or output alone."""
GATES = {"lstm": 4, "gru": 3}


class Shape(NamedTuple):
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
        return self._state * (1 if self.shared else 2)

    @property
    def _state(self) -> int:
        return STATES[self.cell] * self.units


class Trunk(nn.Module):
    """Layers and a cell."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.before = shape.before()
        self.cell = CELLS[shape.cell](shape.features, shape.units)
        self._states = STATES[shape.cell]

    def forward(self, inputs: Tensor, state: Tensor, cut: Pieces) -> tuple[Tensor, Tensor]:
        """Features [B, W] of rows, and the states [B, .] after the last rows of pieces."""
        rows = self.before(inputs).index_select(0, cut.order)
        parts = tuple(part.contiguous() for part in cut.initial(state).unsqueeze(0).chunk(self._states, -1))
        packed, final = self.cell(PackedSequence(rows, cut.sizes), parts if len(parts) > 1 else parts[0])
        joined = torch.cat(final, -1) if isinstance(final, tuple) else final
        return packed.data.index_select(0, cut.places), cut.at_lasts(joined.squeeze(0))


class Critic(nn.Module):
    """A trunk of the value function's own."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.trunk = Trunk(shape)
        self.value = nn.Linear(shape.units, 1)


class Recurrent(nn.Module):
    """Policy and value function over one cell, or one each."""

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
        """Outputs [B, D], values [B] and states after rows, as `Heads.memory` has them."""
        cut = pieces(state, begins)
        if self._shared:
            features, after = self.trunk(inputs, state, cut)
            return self.policy(features), self.value(features).squeeze(-1), after
        actor, critic = state.chunk(2, -1)
        features, after = self.trunk(inputs, actor, cut)
        others, after_others = self.critic.trunk(inputs, critic, cut)
        value = self.critic.value(others).squeeze(-1)
        return self.policy(features), value, torch.cat((after, after_others), -1)


def orthogonal(module: Recurrent, hidden: float, policy: float, value: float) -> None:
    """Orthogonal weights of these gains and zero biases; those of cells of gain 1.

    Source: Huang et al. 2022, 'The 37 Implementation Details of Proximal Policy Optimization', of LSTMs: 1.
    """
    gains = {"policy": policy, "value": value, "cell": 1.0}
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            group = name.split(".")[-2]
            if parameter.ndim == 1:
                parameter.zero_()
            else:
                nn.init.orthogonal_(parameter, gains.get(group, hidden))
