"""Masks of actions around any network: logits of actions that are not allowed become `FLOOR`.

The mask is the last K columns of the inputs, bytes where these are bytes; the network itself sees the O
before them. After the shift by the largest logit exp(FLOOR) is exactly 0 and its logarithm finite, so that
0 log 0 = 0 and log-probabilities, entropies and divergences are those of the distribution over the allowed
actions.

Shapes: R runs, B rows, N environments, O features, K logits, D >= K policy outputs, Q parameters of a part.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rlcli.nets.memory import Memory
from rlcli.nets.network import CRITIC, Array, Heads, Linearised, Network, OnHost, Recorded
from rlcli.nets.observations import Encoder

FLOOR = -(2.0**100)
"""A power of 2, hence the same in float32 and float64."""


@dataclass(frozen=True)
class MaskedNetwork:
    """A network over encoded observations [R, B, O + K], of which the last K are a mask."""

    inner: Network

    @property
    def encoder(self) -> Encoder:
        """See `Network`; it gives the mask behind the features."""
        return self.inner.encoder

    @property
    def parts(self) -> Mapping[str, slice]:
        """See `Network`."""
        return self.inner.parts

    @property
    def order(self) -> Tensor | None:
        """See `Network`."""
        return self.inner.order

    @property
    def memory_width(self) -> int:
        """See `Network`."""
        return self.inner.memory_width

    @property
    def runs_apart(self) -> bool:
        """See `Network`."""
        return self.inner.runs_apart

    @property
    def units(self) -> int:
        """See `Network`."""
        return self.inner.units

    @cached_property
    def auxiliary(self) -> Network | None:
        """See `Network`; V_aux, behind the logits, has no mask."""
        found = self.inner.auxiliary
        return None if found is None else MaskedNetwork(found)

    def initial(self, generator: torch.Generator) -> Tensor:
        """See `Network`."""
        return self.inner.initial(generator)

    def initial_auxiliary(self, generator: torch.Generator) -> Tensor:
        """See `Network`."""
        return self.inner.initial_auxiliary(generator)

    def heads(
        self, parameters: Tensor, inputs: Tensor, memory: Memory | None = None, *, part: str = "all"
    ) -> Heads:
        """Outputs at inputs [R, B, O + K]."""
        features, allowed = self._split(inputs)
        found = self.inner.heads(parameters, features, memory, part=part)
        return found if part == CRITIC else found._replace(output=masked(found.output, allowed, FLOOR))

    def both(self, parameters: Tensor, inputs: Tensor, memory: Memory | None = None) -> Heads:
        """Outputs of the policy and values at inputs [R, B, O + K]."""
        features, allowed = self._split(inputs)
        found = self.inner.both(parameters, features, memory)
        return found._replace(output=masked(found.output, allowed, FLOOR))

    def recorded(self, parameters: Tensor, inputs: Tensor, memory: Memory | None = None) -> Recorded:
        """As `both`."""
        features, allowed = self._split(inputs)
        heads, linear = self.inner.recorded(parameters, features, memory)
        heads = heads._replace(output=masked(heads.output, allowed, FLOOR))
        return Recorded(heads, None if linear is None else MaskedLinear(linear, allowed))

    def linearise(
        self,
        parameters: Tensor,
        inputs: Tensor,
        memory: Memory | None = None,
        *,
        part: str = "all",
        repeatedly: bool = False,
    ) -> Linearised:
        """Outputs with derivatives, which are 0 for what is masked; a critic's inputs have no mask."""
        if part == CRITIC:
            return self.inner.linearise(parameters, inputs, memory, part=part, repeatedly=repeatedly)
        features, allowed = self._split(inputs)
        linear = self.inner.linearise(parameters, features, memory, part=part, repeatedly=repeatedly)
        return MaskedLinear(linear, allowed)

    def entering(self, parameters: Tensor, inputs: Tensor, part: str) -> Tensor:
        """What a part reads; for the critic without the mask."""
        return self.inner.entering(parameters, self._split(inputs)[0], part) if part == CRITIC else inputs

    def blocks(self, inputs: Tensor) -> list[slice]:
        """See `Network`."""
        return self.inner.blocks(inputs)

    def on_host(self, parameters: Tensor) -> OnHost | None:
        """See `Network`."""
        found = self.inner.on_host(parameters)
        if found is None:
            return None
        head, width = found.head, self.encoder.row_width

        def masked_head(inputs: Array, memory: Any) -> tuple[Array, Array | None]:
            outputs, after = head(inputs[..., :width], memory)
            return np.where(inputs[..., width:] != 0.0, outputs, np.float32(FLOOR)), after

        return OnHost(masked_head, found.free)

    def _split(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Features [R, B, O] in memory by themselves, and where [R, B, K] choices are allowed."""
        width = self.encoder.row_width
        return inputs[..., :width].contiguous(), inputs[..., width:] != 0.0


class MaskedLinear:
    """A network's heads and derivatives where logits are masked."""

    def __init__(self, inner: Linearised, allowed: Tensor) -> None:
        self._inner, self._allowed = inner, allowed

    @cached_property
    def heads(self) -> Heads:
        """See `Linearised`."""
        found = self._inner.heads
        return found._replace(output=masked(found.output, self._allowed, FLOOR))

    def vjp(self, by: Heads) -> Tensor:
        """See `Linearised`."""
        return self._inner.vjp(by._replace(output=masked(by.output, self._allowed, 0.0)))

    def jvp(self, tangent: Tensor) -> Heads:
        """See `Linearised`."""
        moved = self._inner.jvp(tangent)
        return moved._replace(output=masked(moved.output, self._allowed, 0.0))


def masked(outputs: Tensor, allowed: Tensor, instead: float) -> Tensor:
    """Outputs [R, B, D] with a number in the place of logits [R, B, K] that are not allowed."""
    logits = allowed.shape[-1]
    if outputs.shape[-1] == logits:
        return torch.where(allowed, outputs, instead)
    return torch.cat((torch.where(allowed, outputs[..., :logits], instead), outputs[..., logits:]), -1)
