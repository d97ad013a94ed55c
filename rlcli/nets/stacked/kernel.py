"""Multilayer perceptrons whose passes are in C (`rlcli/kernels`); float32 or float64 on the host.

Shapes: R runs, B rows, I inputs, D policy outputs, F free policy parameters, Q parameters of a part.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, cached_property

import torch
from torch import Tensor

from rlcli.kernels import network as kernels
from rlcli.kernels.initialise import initial
from rlcli.kernels.network import Description, Head, Tower
from rlcli.nets.memory import Memory
from rlcli.nets.network import ACTOR, ALL, CRITIC, Heads
from rlcli.nets.stacked.layout import Layout
from rlcli.nets.stacked.mlp import MLP


@dataclass(frozen=True)
class KernelMLP(MLP):
    """As `MLP`, with the same parameters in the same places."""

    @cached_property
    def auxiliary(self) -> KernelMLP:
        """With a value head on the actor's trunk as well, unless that has V's own."""
        return replace(self, layout=self.layout.with_auxiliary, _kept={})

    def initial(self, generator: torch.Generator) -> Tensor:
        """Fresh parameters of one run, [P], from a stream of C's own of the generator's seed."""
        return initial(self.layout, self.initialisation, generator.initial_seed())

    def initial_auxiliary(self, generator: torch.Generator) -> Tensor:
        """Fresh parameters [H + 1] of one run's auxiliary value head."""
        heads = replace(self.layout, inputs=self.layout.width, hidden=(), shared=True, tutored=False)
        drawn = initial(heads, self.initialisation, generator.initial_seed())
        return drawn[-(self.layout.width + 1) :].contiguous()

    def heads(
        self, parameters: Tensor, inputs: Tensor, memory: Memory | None = None, *, part: str = ALL
    ) -> Heads:
        """Outputs at inputs [R, B, I]."""
        net = describe(self.layout, part)
        return _heads(net, parameters, inputs, valued=self.layout.valued and part != ACTOR)

    def linearise(  # type: ignore[override]
        self,
        parameters: Tensor,
        inputs: Tensor,
        memory: Memory | None = None,
        *,
        part: str = ALL,
        repeatedly: bool = False,
    ) -> KernelPasses:
        """Passes through all of the network or one part, at inputs [R, B, I] of it."""
        layout = self._part(part)
        return KernelPasses(describe(layout), parameters[:, self.parts[part]], inputs, valued=layout.valued)

    def entering(self, parameters: Tensor, inputs: Tensor, part: str) -> Tensor:
        """Inputs, but for the critic of a shared trunk, which reads its features [R, B, H]."""
        if part == CRITIC and self.layout.shared and self.layout.hidden:
            return kernels.features(describe(self.layout), parameters, inputs.contiguous())
        return inputs

    def blocks(self, inputs: Tensor) -> list[slice]:
        """All runs at once: C goes through a batch in tiles that stay in the cache."""
        return [slice(0, inputs.shape[0])]


class KernelPasses:
    """A network at some rows, and its derivatives."""

    def __init__(self, net: Description, parameters: Tensor, inputs: Tensor, *, valued: bool) -> None:
        self._net, self._parameters, self._inputs, self._valued = net, parameters, inputs, valued

    @cached_property
    def heads(self) -> Heads:
        """Outputs at the rows."""
        return _heads(self._net, self._parameters, self._inputs, valued=self._valued)

    def vjp(self, by: Heads) -> Tensor:
        """The gradient [R, Q] of any function of the heads, from its gradient with respect to them."""
        return kernels.vjp(
            self._net,
            self._parameters,
            self._inputs,
            by.output.contiguous() if self._net.outputs else None,
            by.value.contiguous() if self._valued else None,
            by.free.contiguous() if self._net.free_width else None,
        )

    def jvp(self, tangent: Tensor) -> Heads:
        """The tangent of the heads along a tangent [R, Q] of the parameters."""
        output, value = _room(self._net, self._inputs, self._valued)
        kernels.jvp(self._net, self._parameters, self._inputs, tangent.contiguous(), output, _some(value))
        return Heads(output, _free(self._net, tangent), value)


def _heads(net: Description, parameters: Tensor, inputs: Tensor, *, valued: bool) -> Heads:
    inputs = inputs.contiguous()
    output, value = _room(net, inputs, valued)
    kernels.heads(net, parameters, inputs, output, _some(value))
    return Heads(output, _free(net, parameters), value)


def _room(net: Description, inputs: Tensor, valued: bool) -> tuple[Tensor, Tensor]:
    rows = inputs.shape[:2]
    return inputs.new_empty(*rows, net.outputs), inputs.new_empty(rows if valued else (*rows, 0))


def _some(tensor: Tensor) -> Tensor | None:
    return tensor if tensor.ndim == 2 else None


def _free(net: Description, parameters: Tensor) -> Tensor:
    """[R, 1, F]."""
    return parameters[:, net.free : net.free + net.free_width].unsqueeze(1)


@cache
def describe(layout: Layout, part: str = ALL) -> Description:
    """A layout for C; of a part that what computes its heads, in the same buffer."""
    places = layout.places
    towers = []
    for trunk in range(layout.trunks):
        policy: list[Head] = []
        value: list[Head] = []
        if trunk == 0 and layout.outputs and part != CRITIC:
            policy.append(Head(layout.outputs, places["policy.weight"].offset, places["policy.bias"].offset))
            if layout.tutored and part == ALL:
                at = places["auxiliary.head"].offset
                policy.append(Head(1, at, at + layout.width))
        if trunk == layout.trunks - 1 and layout.valued and part != ACTOR:
            value.append(Head(1, places["value.weight"].offset, places["value.bias"].offset))
        if policy or value:
            towers.append(_tower(layout, trunk, policy, value))
    free = 0 if part == CRITIC else layout.free
    return Description(layout.activation, layout.size, places["policy.free"].offset, free, tuple(towers))


def _tower(layout: Layout, trunk: int, policy: list[Head], value: list[Head]) -> Tower:
    names = [f"trunk.{depth}" for depth in range(len(layout.hidden))]
    weights, biases = (
        [
            layout.places[f"{name}.{leaf}"].offset + trunk * layout.places[f"{name}.{leaf}"].strides[0]
            for name in names
        ]
        for leaf in ("weight", "bias")
    )
    outputs = sum(head.columns for head in policy)
    return Tower(layout.inputs, layout.hidden, weights, biases, (*policy, *value), outputs)
