"""Multilayer perceptrons of R runs behind the network interface, with written-out passes.

Shapes: R runs, B rows, I inputs, H hidden units, D policy outputs, F free policy parameters, P parameters of
one run, Q those of a part.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rlcli.nets.memory import Memory
from rlcli.nets.network import ACTOR, ALL, CRITIC, Heads, OnHost, Recorded
from rlcli.nets.observations import Encoder
from rlcli.nets.stacked.activations import ACTIVATIONS
from rlcli.nets.stacked.layout import Initialisation, Layout
from rlcli.nets.stacked.linear import product
from rlcli.nets.stacked.passes import Passes, Views, features, views

Array = npt.NDArray[Any]

STANDARD = Initialisation()
BLOCK = 2**18
"""Numbers of a hidden layer that whole batches are passed through with at a time."""


@dataclass(frozen=True)
class MLP:
    """Actors and critics of one layout."""

    layout: Layout
    encoder: Encoder
    initialisation: Initialisation = STANDARD
    memory_width: ClassVar[int] = 0
    runs_apart: ClassVar[bool] = False
    _kept: dict[str, tuple[Tensor, Views]] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def parts(self) -> Mapping[str, slice]:
        """Blocks of the flat buffer; of a shared trunk `critic` is the value head, `heads` both."""
        return {ALL: slice(0, self.layout.size), **self.layout.blocks}

    @property
    def order(self) -> Tensor | None:
        """Layer by layer, the actor's before the critic's, then the heads."""
        return self.layout.order

    @property
    def units(self) -> int:
        """Hidden units of all trunks."""
        return self.layout.trunks * sum(self.layout.hidden)

    @cached_property
    def auxiliary(self) -> MLP:
        """With a value head on the actor's trunk as well, unless that has V's own."""
        return replace(self, layout=self.layout.with_auxiliary, _kept={})

    def initial(self, generator: torch.Generator) -> Tensor:
        """Fresh parameters of one run, [P]."""
        return self.layout.initial(self.initialisation, generator)

    def initial_auxiliary(self, generator: torch.Generator) -> Tensor:
        """Fresh parameters [H + 1] of one run's auxiliary value head."""
        return self.layout.initial_auxiliary(self.initialisation, generator)

    def heads(
        self, parameters: Tensor, inputs: Tensor, memory: Memory | None = None, *, part: str = ALL
    ) -> Heads:
        """Outputs at inputs [R, B, I], each in memory by itself; a few runs at a time."""
        given, last = self._views(parameters, ALL), self.layout.trunks - 1
        stack, free = given.heads, given.parts["policy.free"]
        output = value = inputs.new_empty(*inputs.shape[:2], 0)
        if part != CRITIC:
            rows = self._outputs(given, inputs, 0)
            output = rows[:, : self.layout.outputs if part == ACTOR else stack.policy].transpose(-1, -2)
        if part != ACTOR:
            if part == CRITIC or last:
                rows = self._outputs(given, inputs, last)
            value = stack.value(rows)
        return Heads(output, free[..., :0] if part == CRITIC else free, value)

    def both(self, parameters: Tensor, inputs: Tensor, memory: Memory | None = None) -> Heads:
        """Outputs of the policy and values at inputs [R, B, I], part by part."""
        policy = self.heads(parameters, inputs, part=ACTOR)
        return policy._replace(value=self.heads(parameters, inputs, part=CRITIC).value)

    def recorded(self, parameters: Tensor, inputs: Tensor, memory: Memory | None = None) -> Recorded:
        """Nothing is kept: a batch's features are far more than its inputs, and soon computed."""
        return Recorded(self.both(parameters, inputs, memory), None)

    def linearise(
        self,
        parameters: Tensor,
        inputs: Tensor,
        memory: Memory | None = None,
        *,
        part: str = ALL,
        repeatedly: bool = False,
    ) -> Passes:
        """Passes through all of the network or one part, at inputs [R, B, I] of it."""
        return Passes(self._views(parameters, part), inputs, repeatedly=repeatedly)

    def entering(self, parameters: Tensor, inputs: Tensor, part: str) -> Tensor:
        """Inputs, but for the critic of a shared trunk, which reads its features [R, B, H]."""
        if part == CRITIC and self.layout.shared:
            return features(self._views(parameters, ALL), inputs, 0)
        return inputs

    def blocks(self, inputs: Tensor) -> list[slice]:
        """A few runs of inputs [R, B, I] at a time: intermediate results of more would leave the cache."""
        runs, rows = inputs.shape[:2]
        together = max(1, BLOCK // (rows * max(1, *(self.layout.hidden or (self.layout.inputs,)))))
        return [slice(first, first + together) for first in range(0, runs, together)]

    def on_host(self, parameters: Tensor) -> OnHost:
        """The policy head as a numpy function of inputs [R, N, I], and the free parameters [R, 1, F]."""
        parts = {name: part.cpu().numpy() for name, part in self.layout.unflatten(parameters).items()}
        activate = ACTIVATIONS[self.layout.activation].on_host
        layers = [
            (parts[f"trunk.{depth}.weight"][:, 0], parts[f"trunk.{depth}.bias"][:, :1])
            for depth in range(len(self.layout.hidden))
        ]
        weight, bias = parts["policy.weight"], parts["policy.bias"][:, None]

        def head(x: Array, _: None) -> tuple[Array, None]:
            for into, shift in layers:
                x = np.matmul(x, into)
                x += shift
                x = activate(x)
            output: Array = np.matmul(x, weight)
            output += bias
            return output, None

        return OnHost(head, parts["policy.free"])

    def _views(self, parameters: Tensor, part: str) -> Views:
        """Views of a part, kept while gradient steps change the same parameters in place."""
        kept = self._kept.get(part)
        if kept is None or kept[0] is not parameters:
            kept = parameters, views(self._part(part), parameters[:, self.parts[part]])
            self._kept[part] = kept
        return kept[1]

    def _part(self, part: str) -> Layout:
        return {ALL: self.layout, ACTOR: self.layout.actor, CRITIC: self.layout.critic}[part]

    def _outputs(self, given: Views, inputs: Tensor, trunk: int) -> Tensor:
        """Outputs of a trunk's head, [R, S, B]."""
        weight, bias = (part[:, trunk] for part in given.heads.stacked(given.parts))
        outputs = inputs.new_empty(inputs.shape[0], weight.shape[1], inputs.shape[1])
        for runs in self.blocks(inputs):
            found = features(given, inputs, trunk, runs)
            outputs[runs] = product(weight[runs], found.transpose(-1, -2)).add_(bias[runs])
        return outputs
