"""Stacked multilayer perceptrons: the actors and critics of R runs as one batch of products.

The heads of all trunks are one product too, of S rows a trunk, and what they say lies in memory head by head:
what follows works on long rows of samples. Large passes outside of gradient steps go a few runs at a time.

Shapes: R runs, K trunks a run (2: actor and critic; 1: shared), B rows, I inputs, H hidden units,
D policy outputs, F free policy parameters, S rows of a head, P parameters of one run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rlcli.nets.activations import ACTIVATIONS, Activation
from rlcli.nets.layout import Layout
from rlcli.nets.linear import add_product, input_gradient, linear, product, weight_gradient

Array = npt.NDArray[Any]

BLOCK = 2**18
"""Numbers of a hidden layer that whole batches are passed through with at a time."""


@dataclass(frozen=True)
class MLP(Layout):
    """A policy and a value function over flat observations, or one of them alone: the passes through them."""

    def policy(self, parameters: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Policy outputs [R, B, D] and free parameters [R, 1, F] at inputs [R, B, I].

        Each output lies in memory by itself: what follows works on long rows of states.
        """
        parts = self.unflatten(parameters)
        return self._said(parts, x, 0)[:, : self.outputs].transpose(-1, -2), parts["policy.free"]

    def value(self, parameters: Tensor, x: Tensor) -> Tensor:
        """V [R, B] at inputs [R, B, I]."""
        return self._value_in(self._said(self.unflatten(parameters), x, self.trunks - 1))

    def features(self, parameters: Tensor, x: Tensor) -> Tensor:
        """What the value head reads, [R, B, H], at inputs [R, B, I]."""
        return self._features(self.unflatten(parameters), x, self.trunks - 1)

    def policy_on_host(self, parameters: Tensor) -> tuple[Callable[[Array], Array], Array]:
        """The policy head as a numpy function of inputs [R, N, I], and the free parameters [R, 1, F]."""
        parts = {name: part.cpu().numpy() for name, part in self.unflatten(parameters).items()}
        activate = self._activation.on_host
        layers = [
            (parts[f"trunk.{depth}.weight"][:, 0], parts[f"trunk.{depth}.bias"][:, :1])
            for depth in range(len(self.hidden))
        ]
        weight, bias = parts["policy.weight"], parts["policy.bias"][:, None]

        def head(x: Array) -> Array:
            for into, shift in layers:
                x = np.matmul(x, into)
                x += shift
                x = activate(x)
            output: Array = np.matmul(x, weight)
            output += bias
            return output

        return head, parts["policy.free"]

    def forward(self, parts: dict[str, Tensor], x: Tensor) -> tuple[Heads, Tape]:
        """Both heads at x [R, B, I] in one pass over all trunks, and what `backward` needs.

        `parts` are the views `unflatten` gives. Outside any graph.
        """
        runs, rows, trunks = *x.shape[:2], self.trunks
        h = self._entered(x).unsqueeze(1).expand(-1, trunks, -1, -1).reshape(runs * trunks, rows, -1)
        layers = []
        for depth in range(len(self.hidden)):
            weight, bias = (parts[f"trunk.{depth}.{leaf}"].flatten(0, 1) for leaf in ("weight", "bias"))
            pre = self._affine(depth, h, weight, bias)
            post = self._activation.forward(pre)
            layers.append(_Layer(h, weight, pre, post))
            h = post
        weight, bias = (part.flatten(0, 1) for part in self._stacked_heads(parts))
        said = product(weight, h.transpose(-1, -2)).add_(bias)
        return self._heads(said, parts["policy.free"]), Tape(weight, layers, h)

    def backward(self, tape: Tape, gradient: Heads) -> Tensor:
        """The gradient [R, P] of any function of the heads, from its gradient with respect to them.

        Written out because that halves the cost of a gradient step on small networks; the same numbers as
        automatic differentiation of `policy` and `value`.
        """
        runs = gradient.output.shape[0]
        room = tape.layers[-1].room if tape.layers else None
        by_said = self._stacked_gradient(gradient)
        pieces = self._head_pieces(product(by_said, tape.features), by_said.sum(-1), gradient.free)
        back = product(by_said.transpose(-1, -2), tape.weight, room)
        for depth in range(len(self.hidden) - 1, -1, -1):
            layer = tape.layers[depth]
            back = self._through(layer, back)
            by_weight = weight_gradient(layer.inputs, back)
            if depth:
                pieces = [by_weight, back.sum(1), *pieces]
                back = input_gradient(back, layer.weight, tape.layers[depth - 1].room)
            else:
                pieces = [by_weight[:, :-1], by_weight[:, -1], *pieces]
        return torch.cat([piece.reshape(runs, -1) for piece in pieces], 1)

    def policy_gradient(self, parameters: Tensor, x: Tensor, by_output: Tensor, by_free: Tensor) -> Tensor:
        """The gradient [R, P] of any function of `policy`, from that with respect to what it gives."""
        actor, columns = self.actor, self.actor_columns.to(parameters.device)
        own = parameters.index_select(1, columns)
        pieces = []
        for some in self._blocks(x):
            heads, tape = actor.forward(actor.unflatten(own[some]), x[some])
            by_heads = heads._replace(output=by_output[some], free=by_free[some])
            pieces.append(actor.backward(tape, by_heads))
        return torch.zeros_like(parameters).index_copy(1, columns, torch.cat(pieces))

    def prepared(self, tape: Tape) -> Tape:
        """The tape with what many passes along it share: the activations' derivatives, memory to work in."""
        layers = []
        for layer in tape.layers:
            slope = self._activation.backward(torch.ones_like(layer.post), layer.pre, layer.post)
            layers.append(layer._replace(slope=slope, room=torch.empty_like(slope)))
        return tape._replace(layers=layers)

    def jvp(self, tape: Tape, tangent: Tensor) -> Heads:
        """The tangent of both heads along a tangent [R, P] of the parameters; inputs are constants.

        The transpose of `backward`, in the dtype of the tape.
        """
        parts = self.unflatten(tangent)
        moved: Tensor | None = None
        for depth, layer in enumerate(tape.layers):
            weight, bias = (parts[f"trunk.{depth}.{leaf}"].flatten(0, 1) for leaf in ("weight", "bias"))
            pushed = self._affine(depth, layer.inputs, weight, bias, layer.room)
            if moved is not None:
                add_product(pushed, moved, layer.weight)
            moved = self._through(layer, pushed)
        weight, bias = (part.flatten(0, 1) for part in self._stacked_heads(parts))
        said = product(weight, tape.features.transpose(-1, -2)).add_(bias)
        if moved is not None:
            add_product(said, tape.weight, moved.transpose(-1, -2))
        return self._heads(said, parts["policy.free"])

    def _through(self, layer: _Layer, slope: Tensor) -> Tensor:
        """A tangent of a layer's activation, or a gradient, on its other side; may overwrite `slope`.

        The derivative of an elementwise function is its own transpose.
        """
        if layer.slope is None:
            return self._activation.backward(slope, layer.pre, layer.post)
        return slope.mul_(layer.slope)

    @property
    def _activation(self) -> Activation:
        return ACTIVATIONS[self.activation]

    def _features(self, parts: dict[str, Tensor], x: Tensor, trunk: int) -> Tensor:
        x = self._entered(x)
        for depth in range(len(self.hidden)):
            weight, bias = (parts[f"trunk.{depth}.{leaf}"][:, trunk] for leaf in ("weight", "bias"))
            x = self._activation.forward(self._affine(depth, x, weight, bias))
        return x

    def _said(self, parts: dict[str, Tensor], x: Tensor, trunk: int) -> Tensor:
        """What a trunk's head says, [R, S, B]."""
        weight, bias = (part[:, trunk] for part in self._stacked_heads(parts))
        said = x.new_empty(x.shape[0], weight.shape[1], x.shape[1])
        for some in self._blocks(x):
            features = self._features({name: part[some] for name, part in parts.items()}, x[some], trunk)
            said[some] = product(weight[some], features.transpose(-1, -2)).add_(bias[some])
        return said

    def _blocks(self, x: Tensor) -> list[slice]:
        """The runs of x [R, B, I], a few at a time: intermediate results of more would leave the cache."""
        runs, rows = x.shape[:2]
        together = max(1, BLOCK // (rows * max(1, *(self.hidden or (self.inputs,)))))
        return [slice(first, first + together) for first in range(0, runs, together)]

    def _entered(self, x: Tensor) -> Tensor:
        """Inputs with a 1 behind them, so that the first layer's product adds its bias."""
        return torch.cat((x, x.new_ones(*x.shape[:-1], 1)), -1) if self.hidden else x

    def _affine(
        self, depth: int, x: Tensor, weight: Tensor, bias: Tensor, out: Tensor | None = None
    ) -> Tensor:
        if depth:
            return linear(x, weight, bias, out)
        return product(x, torch.cat((weight, bias.unsqueeze(1)), 1), out)

    @property
    def _head_rows(self) -> int:
        """S: at least two, since one would take another kernel."""
        return max(2, self.outputs + int(self.valued and self.trunks == 1))

    @property
    def _value_row(self) -> int:
        """Of what the last trunk's head says, the row that is V."""
        return self.outputs if self.trunks == 1 else 0

    def _stacked_heads(self, parts: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The heads of all trunks as one product: weights [R, K, S, H], biases [R, K, S, 1].

        S rows hold the policy's outputs in the first trunk and V in the last; the others are 0.
        """
        into, value = parts["policy.weight"], parts["value.weight"]
        weight = into.new_zeros(into.shape[0], self.trunks, self._head_rows, into.shape[1])
        bias = weight.new_zeros(*weight.shape[:-1], 1)
        weight[:, 0, : self.outputs] = into.transpose(-1, -2)
        bias[:, 0, : self.outputs, 0] = parts["policy.bias"]
        if self.valued:
            weight[:, -1, self._value_row] = value.squeeze(-1)
            bias[:, -1, self._value_row] = parts["value.bias"]
        return weight, bias

    def _heads(self, said: Tensor, free: Tensor) -> Heads:
        """What [R K, S, B] of `_stacked_heads` mean."""
        said = self._by_trunk(said)
        return Heads(said[:, 0, : self.outputs].transpose(-1, -2), free, self._value_in(said[:, -1]))

    def _by_trunk(self, stacked: Tensor) -> Tensor:
        """[R K, ...] as [R, K, ...]."""
        return stacked.view(stacked.shape[0] // self.trunks, self.trunks, *stacked.shape[1:])

    def _value_in(self, said: Tensor) -> Tensor:
        """V [R, B] in what the last trunk's head says, [R, S, B]; without a value head [R, B, 0]."""
        if not self.valued:
            return said.new_empty(said.shape[0], said.shape[-1], 0)
        return said[:, self._value_row].contiguous()

    def _stacked_gradient(self, gradient: Heads) -> Tensor:
        """By what the heads say: [R K, S, B]."""
        runs, samples = gradient.output.shape[:2]
        stacked = gradient.output.new_zeros(runs, self.trunks, self._head_rows, samples)
        stacked[:, 0, : self.outputs] = gradient.output.transpose(-1, -2)
        if self.valued:
            stacked[:, -1, self._value_row] = gradient.value
        return stacked.flatten(0, 1)

    def _head_pieces(self, by_weight: Tensor, by_bias: Tensor, free: Tensor) -> list[Tensor]:
        """The gradients of the heads' parameters, in their order."""
        by_weight, by_bias = self._by_trunk(by_weight), self._by_trunk(by_bias)
        pieces = [by_weight[:, 0, : self.outputs].transpose(-1, -2), by_bias[:, 0, : self.outputs], free]
        if self.valued:
            pieces += [by_weight[:, -1, self._value_row], by_bias[:, -1, self._value_row]]
        return pieces


class Heads(NamedTuple):
    """What a network says of B rows, or the gradient of something with respect to it."""

    output: Tensor
    """[R, B, D]."""
    free: Tensor
    """[R, 1, F]."""
    value: Tensor
    """[R, B]; without a value head [R, B, 0]."""


class _Layer(NamedTuple):
    inputs: Tensor
    weight: Tensor
    pre: Tensor
    post: Tensor
    slope: Tensor | None = None
    """Derivative of the activation, on a prepared tape."""
    room: Tensor | None = None
    """Of the shape of `post`, for passes to work in, on a prepared tape."""


class Tape(NamedTuple):
    """A forward pass, kept for its backward pass."""

    weight: Tensor
    """[R K, S, H]: of all heads."""
    layers: list[_Layer]
    features: Tensor
    """[R K, B, H]: outputs of the last hidden layer."""
