"""Written-out passes through stacked multilayer perceptrons: outputs, gradients, tangents of R runs at once.

All trunks go through one batch of products, and so do all heads, of S rows per trunk; their outputs lie in
memory head by head, since what follows works on long rows of samples.

Shapes: R runs, K trunks per run, B rows, I inputs, H hidden units, D policy outputs, F free policy
parameters, S rows of a head, P parameters of one run.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from rlcli.nets.network import Heads
from rlcli.nets.stacked.activations import ACTIVATIONS, Activation
from rlcli.nets.stacked.layout import Layout
from rlcli.nets.stacked.linear import add_product, input_gradient, linear, product, weight_gradient


class StackedHeads:
    """The heads of all trunks as one product: which of its rows is which output."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.policy = layout.outputs + int(layout.tutored)
        """Policy outputs, with V_aux as the last where there is an auxiliary head."""
        self.rows = max(2, self.policy + int(layout.valued and layout.trunks == 1))
        """S: at least two, since one would take another kernel."""
        self.value_row = self.policy if layout.trunks == 1 else 0
        """Of the last trunk's rows the one that is V."""

    def stacked(self, parts: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Weights [R, K, S, H] and biases [R, K, S, 1]; rows that are no output's are 0."""
        layout, into, value = self._layout, parts["policy.weight"], parts["value.weight"]
        weight = into.new_zeros(into.shape[0], layout.trunks, self.rows, into.shape[1])
        bias = weight.new_zeros(*weight.shape[:-1], 1)
        weight[:, 0, : layout.outputs] = into.transpose(-1, -2)
        bias[:, 0, : layout.outputs, 0] = parts["policy.bias"]
        if layout.tutored:
            head = parts["auxiliary.head"]
            weight[:, 0, layout.outputs], bias[:, 0, layout.outputs, 0] = head[:, :-1], head[:, -1]
        if layout.valued:
            weight[:, -1, self.value_row] = value.squeeze(-1)
            bias[:, -1, self.value_row] = parts["value.bias"]
        return weight, bias

    def read(self, stacked: Tensor, free: Tensor) -> Heads:
        """Outputs [R K, S, B] as heads."""
        rows = self.by_trunk(stacked)
        return Heads(rows[:, 0, : self.policy].transpose(-1, -2), free, self.value(rows[:, -1]))

    def value(self, rows: Tensor) -> Tensor:
        """V [R, B] in the last trunk's outputs [R, S, B]; without a value head [R, B, 0]."""
        if not self._layout.valued:
            return rows.new_empty(rows.shape[0], rows.shape[-1], 0)
        return rows[:, self.value_row].contiguous()

    def stacked_gradient(self, by: Heads) -> Tensor:
        """A gradient with respect to heads as one with respect to the stacked outputs, [R K, S, B]."""
        runs, samples = by.output.shape[:2]
        stacked = by.output.new_zeros(runs, self._layout.trunks, self.rows, samples)
        stacked[:, 0, : self.policy] = by.output.transpose(-1, -2)
        if self._layout.valued:
            stacked[:, -1, self.value_row] = by.value
        return stacked.flatten(0, 1)

    def pieces(
        self, by_weight: Tensor, by_bias: Tensor, free: Tensor
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Gradients of the heads' parameters as they lie: of the policy, of V, of the auxiliary head."""
        layout = self._layout
        by_weight, by_bias = self.by_trunk(by_weight), self.by_trunk(by_bias)
        first, last = by_weight[:, 0], by_weight[:, -1]
        policy = [first[:, : layout.outputs].transpose(-1, -2), by_bias[:, 0, : layout.outputs], free]
        value, auxiliary = [], []
        if layout.valued:
            value = [last[:, self.value_row], by_bias[:, -1, self.value_row]]
        if layout.tutored:
            auxiliary = [first[:, layout.outputs], by_bias[:, 0, layout.outputs]]
        return policy, value, auxiliary

    def by_trunk(self, stacked: Tensor) -> Tensor:
        """[R K, ...] as [R, K, ...]."""
        trunks = self._layout.trunks
        return stacked.view(stacked.shape[0] // trunks, trunks, *stacked.shape[1:])


class _Layer(NamedTuple):
    inputs: Tensor
    weight: Tensor
    """[R K, I, O]; of the first layer with its bias as one row more."""
    pre: Tensor
    post: Tensor
    slope: Tensor | None
    """Derivative of the activation, where many passes share it."""
    room: Tensor | None
    """Of the shape of `post`, for passes to work in."""


class Passes:
    """A forward pass [R, B, I] of all trunks, kept for its backward and tangent passes. Outside any graph."""

    def __init__(self, layout: Layout, parameters: Tensor, x: Tensor, *, repeatedly: bool) -> None:
        self._layout, self._stack = layout, StackedHeads(layout)
        runs, rows, trunks = *x.shape[:2], layout.trunks
        parts = layout.unflatten(parameters)
        h = entered(layout, x).unsqueeze(1).expand(-1, trunks, -1, -1).reshape(runs * trunks, rows, -1)
        self._layers: list[_Layer] = []
        for depth in range(len(layout.hidden)):
            weight, bias = _affine_part(layout, parts, parameters, depth)
            pre = _affine(h, weight, bias)
            post = self._activation.forward(pre)
            self._layers.append(self._layer(h, weight, pre, post, repeatedly))
            h = post
        self._features = h
        self._weight, bias = (part.flatten(0, 1) for part in self._stack.stacked(parts))
        stacked = product(self._weight, h.transpose(-1, -2)).add_(bias)
        self.heads = self._stack.read(stacked, parts["policy.free"])

    def vjp(self, by: Heads) -> Tensor:
        """The gradient [R, P] of any function of the heads, from its gradient with respect to them.

        Written out because that halves the cost of a gradient step on small networks.
        """
        layers = self._layers
        by_stacked = self._stack.stacked_gradient(by)
        policy, value, auxiliary = self._stack.pieces(
            product(by_stacked, self._features), by_stacked.sum(-1), by.free
        )
        back = product(by_stacked.transpose(-1, -2), self._weight, layers[-1].room if layers else None)
        trunks: list[Tensor] = []
        for depth in range(len(layers) - 1, -1, -1):
            layer = layers[depth]
            back = self._through(layer, back)
            by_weight = self._stack.by_trunk(weight_gradient(layer.inputs, back))
            if depth:
                trunks = [by_weight, self._stack.by_trunk(back.sum(1)), *trunks]
                back = input_gradient(back, layer.weight, layers[depth - 1].room)
            else:
                trunks = [by_weight, *trunks]
        blocks = [policy, value] if self._layout.trunks == 2 else [policy + value]
        pieces = [
            piece
            for trunk, heads in enumerate(blocks)
            for piece in (*(part[:, trunk] for part in trunks), *heads)
        ]
        runs = by.output.shape[0]
        return torch.cat([piece.reshape(runs, -1) for piece in (*pieces, *auxiliary)], 1)

    def jvp(self, tangent: Tensor) -> Heads:
        """The tangent of the heads along a tangent [R, P] of the parameters: the transpose of `vjp`."""
        parts = self._layout.unflatten(tangent)
        moved: Tensor | None = None
        for depth, layer in enumerate(self._layers):
            weight, bias = _affine_part(self._layout, parts, tangent, depth)
            pushed = _affine(layer.inputs, weight, bias, layer.room)
            if moved is not None:
                add_product(pushed, moved, layer.weight)
            moved = self._through(layer, pushed)
        weight, bias = (part.flatten(0, 1) for part in self._stack.stacked(parts))
        stacked = product(weight, self._features.transpose(-1, -2)).add_(bias)
        if moved is not None:
            add_product(stacked, self._weight, moved.transpose(-1, -2))
        return self._stack.read(stacked, parts["policy.free"])

    def _layer(self, inputs: Tensor, weight: Tensor, pre: Tensor, post: Tensor, repeatedly: bool) -> _Layer:
        if not repeatedly:
            return _Layer(inputs, weight, pre, post, None, None)
        slope = self._activation.backward(torch.ones_like(post), pre, post)
        return _Layer(inputs, weight, pre, post, slope, torch.empty_like(slope))

    def _through(self, layer: _Layer, slope: Tensor) -> Tensor:
        """A tangent of a layer's activation, or a gradient, on its other side; may overwrite `slope`.

        The derivative of an elementwise function is its own transpose.
        """
        if layer.slope is None:
            return self._activation.backward(slope, layer.pre, layer.post)
        return slope.mul_(layer.slope)

    @property
    def _activation(self) -> Activation:
        return ACTIVATIONS[self._layout.activation]


def features(layout: Layout, parameters: Tensor, x: Tensor, trunk: int) -> Tensor:
    """What the heads of a trunk read, [R, B, H], at inputs [R, B, I]."""
    parts = layout.unflatten(parameters)
    x = entered(layout, x)
    for depth in range(len(layout.hidden)):
        weight, bias = _affine_part(layout, parts, parameters, depth, trunk)
        x = ACTIVATIONS[layout.activation].forward(_affine(x, weight, bias))
    return x


def entered(layout: Layout, x: Tensor) -> Tensor:
    """Inputs with a 1 behind them, so that the first layer's product adds its bias."""
    return torch.cat((x, x.new_ones(*x.shape[:-1], 1)), -1) if layout.hidden else x


def _affine_part(
    layout: Layout, parts: dict[str, Tensor], parameters: Tensor, depth: int, trunk: int | None = None
) -> tuple[Tensor, Tensor | None]:
    """Weights and biases of a hidden layer, of one trunk [R, ...] or of all [R K, ...].

    The first layer's are one matrix.
    """
    if depth:
        found = [parts[f"trunk.{depth}.{leaf}"] for leaf in ("weight", "bias")]
    else:
        found = [layout.first(parameters)]
    chosen = [part.flatten(0, 1) if trunk is None else part[:, trunk] for part in found]
    return chosen[0], chosen[1] if depth else None


def _affine(x: Tensor, weight: Tensor, bias: Tensor | None, out: Tensor | None = None) -> Tensor:
    return product(x, weight, out) if bias is None else linear(x, weight, bias, out)
