"""Written-out passes through stacked multilayer perceptrons: outputs, gradients, tangents of R runs at once.

All trunks go through one batch of products, and so do all heads, of S rows per trunk; their outputs lie in
memory head by head, since what follows works on long rows of samples.

Shapes: R runs, K trunks per run, B rows, I inputs, H hidden units, D policy outputs, F free policy
parameters, S rows of a head, V outputs of the value head, P parameters of one run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rlcli.nets.network import Heads
from rlcli.nets.stacked.activations import ACTIVATIONS
from rlcli.nets.stacked.layout import Layout
from rlcli.nets.stacked.linear import add_product, input_gradient, linear, product, weight_gradient


class StackedHeads:
    """The heads of all trunks as one product: which of its rows is which output."""

    def __init__(self, layout: Layout) -> None:
        self._outputs, self._trunks = layout.outputs, layout.trunks
        self._values, self._tutored = layout.values, layout.tutored
        self.policy = layout.outputs + int(layout.tutored)
        """Policy outputs, with V_aux as the last where there is an auxiliary head."""
        first = self.policy if layout.trunks == 1 else 0
        self.rows = max(2, self.policy, first + layout.values)
        """S: at least two, since one would take another kernel."""
        self.value_rows = slice(first, first + layout.values)
        """Of the last trunk's rows those that are V, or Q of each action."""

    def stacked(self, parts: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Weights [R, K, S, H] and biases [R, K, S, 1]; rows that are no output's are 0."""
        outputs, into, value = self._outputs, parts["policy.weight"], parts["value.weight"]
        weight = into.new_zeros(into.shape[0], self._trunks, self.rows, into.shape[1])
        bias = weight.new_zeros(*weight.shape[:-1], 1)
        weight[:, 0, :outputs] = into.transpose(-1, -2)
        bias[:, 0, :outputs, 0] = parts["policy.bias"]
        if self._tutored:
            head = parts["auxiliary.head"]
            weight[:, 0, outputs], bias[:, 0, outputs, 0] = head[:, :-1], head[:, -1]
        if self._values:
            weight[:, -1, self.value_rows] = value.transpose(-1, -2)
            bias[:, -1, self.value_rows, 0] = parts["value.bias"]
        return weight, bias

    def read(self, stacked: Tensor, free: Tensor) -> Heads:
        """Outputs [R K, S, B] as heads."""
        rows = self.by_trunk(stacked)
        return Heads(rows[0][:, : self.policy].transpose(-1, -2), free, self.value(rows[-1]))

    def value(self, rows: Tensor) -> Tensor:
        """V [R, B] in the last trunk's outputs [R, S, B], or Q [R, B, V]; without a value head [R, B, 0]."""
        if not self._values:
            return rows.new_empty(rows.shape[0], rows.shape[-1], 0)
        values = rows[:, self.value_rows].transpose(-1, -2).contiguous()
        return values.squeeze(-1) if self._values == 1 else values

    def stacked_gradient(self, by: Heads) -> Tensor:
        """A gradient with respect to heads as one with respect to the stacked outputs, [R K, S, B]."""
        runs, samples = by.output.shape[:2]
        stacked = by.output.new_zeros(runs, self._trunks, self.rows, samples)
        stacked[:, 0, : self.policy] = by.output.transpose(-1, -2)
        if self._values:
            by_value = by.value.unsqueeze(-1) if self._values == 1 else by.value
            stacked[:, -1, self.value_rows] = by_value.transpose(-1, -2)
        return stacked.flatten(0, 1)

    def pieces(self, by_weight: Tensor, by_bias: Tensor, free: Tensor) -> list[list[Tensor]]:
        """Gradients of the heads' parameters as they lie: trunk by trunk, then of the auxiliary head."""
        weights, biases, outputs = self.by_trunk(by_weight), self.by_trunk(by_bias), self._outputs
        found = [[weights[0][:, :outputs].transpose(-1, -2), biases[0][:, :outputs], free]]
        if self._values:
            value = [weights[-1][:, self.value_rows].transpose(-1, -2), biases[-1][:, self.value_rows]]
            found = [found[0] + value] if self._trunks == 1 else [*found, value]
        if self._tutored:
            found.append([weights[0][:, outputs], biases[0][:, outputs]])
        return found

    def by_trunk(self, stacked: Tensor) -> Sequence[Tensor]:
        """[R K, ...] as K of [R, ...]."""
        if self._trunks == 1:
            return (stacked,)
        runs = stacked.shape[0] // self._trunks
        return stacked.view(runs, self._trunks, *stacked.shape[1:]).unbind(1)


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


class Views(NamedTuple):
    """Parameters of a layout as the passes read them: views, which follow what is changed in place."""

    layout: Layout
    heads: StackedHeads
    parts: dict[str, Tensor]
    """Every parameter by name, [R, ...]."""
    affine: list[tuple[Tensor, Tensor | None]]
    """Weights and biases of each hidden layer, [R, K, ...]; of the first as one matrix, [R, K, I + 1, O]."""


def views(layout: Layout, parameters: Tensor, heads: StackedHeads | None = None) -> Views:
    """Views of parameters [R, P]; `heads` are the layout's, where they are made already."""
    parts = layout.unflatten(parameters)
    affine: list[tuple[Tensor, Tensor | None]] = [(layout.first(parameters), None)] if layout.hidden else []
    for depth in range(1, len(layout.hidden)):
        affine.append((parts[f"trunk.{depth}.weight"], parts[f"trunk.{depth}.bias"]))
    return Views(layout, heads or StackedHeads(layout), parts, affine)


class Passes:
    """A forward pass [R, B, I] of all trunks, kept for its backward and tangent passes. Outside any graph."""

    def __init__(self, given: Views, x: Tensor, *, repeatedly: bool) -> None:
        layout = given.layout
        self._layout, self._stack = layout, given.heads
        self._activation = ACTIVATIONS[layout.activation]
        runs, rows, trunks = *x.shape[:2], layout.trunks
        h = entered(layout, x)
        h = h.unsqueeze(1).expand(-1, trunks, -1, -1).reshape(runs * trunks, rows, -1)
        self._layers: list[_Layer] = []
        for affine in given.affine:
            weight, bias = _all_trunks(affine)
            pre = _affine(h, weight, bias)
            post = self._activation.forward(pre)
            self._layers.append(self._layer(h, weight, pre, post, repeatedly))
            h = post
        self._features = h
        self._weight, bias = (part.flatten(0, 1) for part in self._stack.stacked(given.parts))
        stacked = product(self._weight, h.transpose(-1, -2)).add_(bias)
        self.heads = self._stack.read(stacked, given.parts["policy.free"])

    def vjp(self, by: Heads) -> Tensor:
        """The gradient [R, P] of any function of the heads, from its gradient with respect to them.

        Written out because that halves the cost of a gradient step on small networks.
        """
        layers, split, runs = self._layers, self._stack.by_trunk, by.output.shape[0]
        by_stacked = self._stack.stacked_gradient(by)
        blocks = self._stack.pieces(product(by_stacked, self._features), by_stacked.sum(-1), by.free)
        back = product(by_stacked.transpose(-1, -2), self._weight, layers[-1].room if layers else None)
        for depth in range(len(layers) - 1, -1, -1):
            layer = layers[depth]
            back = self._through(layer, back)
            if depth:
                for block, by_bias in zip(blocks, split(back.sum(1)), strict=False):
                    block.insert(0, by_bias)
            for block, by_weight in zip(blocks, split(weight_gradient(layer.inputs, back)), strict=False):
                block.insert(0, by_weight)
            if depth:
                back = input_gradient(back, layer.weight, layers[depth - 1].room)
        return torch.cat([piece.reshape(runs, -1) for block in blocks for piece in block], 1)

    def jvp(self, tangent: Tensor) -> Heads:
        """The tangent of the heads along a tangent [R, P] of the parameters: the transpose of `vjp`."""
        along = views(self._layout, tangent, self._stack)
        moved: Tensor | None = None
        for layer, affine in zip(self._layers, along.affine, strict=True):
            weight, bias = _all_trunks(affine)
            pushed = _affine(layer.inputs, weight, bias, layer.room)
            if moved is not None:
                add_product(pushed, moved, layer.weight)
            moved = self._through(layer, pushed)
        weight, bias = (part.flatten(0, 1) for part in self._stack.stacked(along.parts))
        stacked = product(weight, self._features.transpose(-1, -2)).add_(bias)
        if moved is not None:
            add_product(stacked, self._weight, moved.transpose(-1, -2))
        return self._stack.read(stacked, along.parts["policy.free"])

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


def features(given: Views, x: Tensor, trunk: int, runs: slice = slice(None)) -> Tensor:
    """What the heads of a trunk read, [R, B, H], at inputs [R, B, I] of some runs."""
    layout = given.layout
    x = entered(layout, x[runs])
    for weight, bias in given.affine:
        chosen = None if bias is None else bias[runs, trunk]
        x = ACTIVATIONS[layout.activation].forward(_affine(x, weight[runs, trunk], chosen))
    return x


def entered(layout: Layout, x: Tensor) -> Tensor:
    """Inputs with a 1 behind them, so that the first layer's product adds its bias."""
    return torch.cat((x, x.new_ones(*x.shape[:-1], 1)), -1) if layout.hidden else x


def _all_trunks(affine: tuple[Tensor, Tensor | None]) -> tuple[Tensor, Tensor | None]:
    """Weights and biases [R, K, ...] as [R K, ...]."""
    weight, bias = affine
    return weight.flatten(0, 1), None if bias is None else bias.flatten(0, 1)


def _affine(x: Tensor, weight: Tensor, bias: Tensor | None, out: Tensor | None = None) -> Tensor:
    return product(x, weight, out) if bias is None else linear(x, weight, bias, out)
