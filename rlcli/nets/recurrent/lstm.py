"""The LSTM over sequences, its steps and their derivatives written out.

i, f, o = σ(.), g = tanh(.) of W x + U h + b; c' = f c + i g; h' = o tanh(c').

Source: Hochreiter and Schmidhuber 1997, 'Long Short-Term Memory', with the forget gate of Gers, Schmidhuber
and Cummins 2000; parameters and their order are those of torch.nn.LSTM. Shapes: T steps of N sequences,
K trunks that are unrolled together, W units.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rlcli.nets.recurrent.sequences import Sequences, by_products

STATES = 2
"""Vectors of W numbers that are the state: h, then c."""
GATES = 4


def unroll(
    driven: Tensor, weight: Tensor, bias: Tensor, state: Tensor, of: Sequences
) -> tuple[Tensor, Tensor]:
    """Outputs [T, K, N, W] and states [T, K, N, 2 W] after steps, by what inputs give gates [T, K, N, 4 W].

    `weight` U [K, 4 W, W] and `bias` [K, 4 W] are those of the state; `state` [K, N, 2 W] is the first.
    """
    hidden, cell = state.chunk(STATES, -1)
    steps: Any = _Steps.apply
    outputs, cells = steps(driven + bias.unsqueeze(1), weight, hidden, cell, of)
    return outputs, torch.cat((outputs.detach(), cells), -1)


class _Steps(torch.autograd.Function):
    """h and c [T, K, N, W] after each step; to autograd c is a constant, and so is the first state."""

    @staticmethod
    def forward(
        ctx: Any, driven: Tensor, weight: Tensor, hidden: Tensor, cell: Tensor, of: Sequences
    ) -> tuple[Tensor, Tensor]:
        gates, turned = torch.empty_like(driven), weight.mT.contiguous()
        outputs, cells, bounded = (driven.new_empty(*driven.shape[:3], weight.shape[-1]) for _ in range(3))
        parts = zip(*(part.unbind(0) for part in gates.chunk(GATES, -1)), strict=True)
        ctx.save_for_backward(gates, outputs, cells, bounded, weight, hidden, cell)
        ctx.of = of
        for t, (add, forget, value, out) in enumerate(parts):
            if of.forgets[t]:
                hidden, cell = hidden * of.keep[t], cell * of.keep[t]
            torch.baddbmm(driven[t], hidden, turned, out=gates[t])
            add.sigmoid_(), forget.sigmoid_(), value.tanh_(), out.sigmoid_()
            cell = torch.addcmul(add * value, forget, cell, out=cells[t])
            hidden = torch.mul(out, torch.tanh(cell, out=bounded[t]), out=outputs[t])
        ctx.mark_non_differentiable(cells)
        return outputs, cells

    @staticmethod
    def backward(ctx: Any, by_outputs: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        """Linear in `by_outputs`, by which alone it can be differentiated again: gates are constants."""
        gates, outputs, cells, bounded, weight, hidden, cell = ctx.saved_tensors
        of = ctx.of
        add, forget, value, out = gates.chunk(GATES, -1)
        before = of.entering(cell, cells)
        by_cell = out * (1.0 - bounded.square())
        slopes = torch.stack(
            (
                value * add * (1.0 - add),
                before * forget * (1.0 - forget),
                add * (1.0 - value.square()),
                bounded * out * (1.0 - out),
            ),
            -2,
        )
        back = forget * of.keep
        found = []
        from_hidden = from_cell = torch.zeros_like(hidden)
        for t in reversed(range(len(gates))):
            by_hidden = by_outputs[t] + from_hidden
            through = torch.addcmul(from_cell, by_hidden, by_cell[t])
            by_gates = (torch.stack((through, through, through, by_hidden), -2) * slopes[t]).flatten(-2)
            from_hidden, from_cell = by_gates @ weight, through * back[t]
            if of.forgets[t]:
                from_hidden = from_hidden * of.keep[t]
            found.append(by_gates)
        by_driven = torch.stack(found[::-1])
        return by_driven, by_products(by_driven, of.entering(hidden, outputs)), None, None, None
