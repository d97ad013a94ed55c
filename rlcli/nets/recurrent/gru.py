"""The GRU over sequences, its steps and their derivatives written out.

r, z = σ(.) of W x + U h + b; n = tanh(Wn x + bn + r (Un h + cn)); h' = (1 - z) n + z h.

Source: Cho et al. 2014, 'Learning Phrase Representations using RNN Encoder-Decoder'; as in torch.nn.GRU,
whose parameters and order these are, the reset gate multiplies after the product. Shapes: T steps of N
sequences, K trunks that are unrolled together, W units.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rlcli.nets.recurrent.sequences import Sequences, by_products

STATES = 1
"""Vectors of W numbers that are the state: h."""
GATES = 3


def unroll(
    driven: Tensor, weight: Tensor, bias: Tensor, state: Tensor, of: Sequences
) -> tuple[Tensor, Tensor]:
    """Outputs [T, K, N, W] and states, the same, after steps, by what inputs give gates [T, K, N, 3 W].

    `weight` U [K, 3 W, W] and `bias` [K, 3 W] are those of the state; `state` [K, N, W] is the first.
    """
    steps: Any = _Steps.apply
    outputs: Tensor = steps(driven, weight, bias.unsqueeze(1), state, of)
    return outputs, outputs.detach()


class _Steps(torch.autograd.Function):
    """h [T, K, N, W] after each step; the first state is a constant."""

    @staticmethod
    def forward(
        ctx: Any, driven: Tensor, weight: Tensor, bias: Tensor, hidden: Tensor, of: Sequences
    ) -> Tensor:
        width, turned = weight.shape[-1], weight.mT.contiguous()
        # Gates r and z, then the new value n; and what of the state goes into n.
        gates, outputs = torch.empty_like(driven), driven.new_empty(*driven.shape[:3], width)
        recalled = torch.empty_like(outputs)
        ctx.save_for_backward(gates, recalled, outputs, weight, hidden)
        ctx.of = of
        for t, row in enumerate(gates.unbind(0)):
            if of.forgets[t]:
                hidden = hidden * of.keep[t]
            by_state = torch.baddbmm(bias, hidden, turned)
            recalled[t] = by_state[..., 2 * width :]
            both, value = row[..., : 2 * width], row[..., 2 * width :]
            torch.add(driven[t, ..., : 2 * width], by_state[..., : 2 * width], out=both).sigmoid_()
            reset, update = both.chunk(2, -1)
            torch.addcmul(driven[t, ..., 2 * width :], reset, recalled[t], out=value).tanh_()
            hidden = torch.lerp(value, hidden, update, out=outputs[t])
        return outputs

    @staticmethod
    def backward(ctx: Any, by_outputs: Tensor) -> tuple[Tensor | None, ...]:
        """Linear in `by_outputs`, by which alone it can be differentiated again: gates are constants."""
        gates, recalled, outputs, weight, hidden = ctx.saved_tensors
        of = ctx.of
        reset, update, value = gates.chunk(GATES, -1)
        before = of.entering(hidden, outputs)
        into_value = (1.0 - update) * (1.0 - value.square())
        slopes = torch.stack(
            (
                into_value * recalled * reset * (1.0 - reset),
                (before - value) * update * (1.0 - update),
                into_value * reset,
            ),
            -2,
        )
        found, given = [], []
        from_hidden = torch.zeros_like(hidden)
        for t in reversed(range(len(gates))):
            by_hidden = by_outputs[t] + from_hidden
            by_state = (by_hidden.unsqueeze(-2) * slopes[t]).flatten(-2)
            from_hidden = torch.addcmul(by_state @ weight, by_hidden, update[t])
            if of.forgets[t]:
                from_hidden = from_hidden * of.keep[t]
            found.append(by_state)
            given.append(by_hidden)
        by_states, by_hiddens = torch.stack(found[::-1]), torch.stack(given[::-1])
        width = weight.shape[-1]
        by_driven = torch.cat((by_states[..., : 2 * width], by_hiddens * into_value), -1)
        by_bias = by_states.sum((0, 2)).unsqueeze(1)
        return by_driven, by_products(by_states, before), by_bias, None, None
