"""Layout of stacked multilayer perceptrons: their parameters by name, and where these lie in the flat buffer.

Each trunk with its head is one contiguous block: separate networks lie as [actor | critic], a shared trunk
as [trunk | policy head | value head], an auxiliary value head after all. Within a block a layer's bias
follows its weights, so that [I + 1, O] of both is one view.

Shapes: R runs, K trunks per run (2: actor and critic; 1: shared), H width of the last hidden layer, D policy
outputs, F free policy parameters, P parameters of one run.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Initialisation:
    """Orthogonal weights with gains and zero biases (Saxe et al. 2014), or torch's uniform default."""

    orthogonal: bool = True
    hidden_gain: float = 2**0.5
    policy_gain: float = 0.01
    value_gain: float = 1.0
    log_std: float = 0.0


class Place(NamedTuple):
    """Where a parameter lies in a row of the flat buffer."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int


@dataclass(frozen=True)
class Layout:
    """The parameters of a policy and a value function over flat observations, or of one of them alone."""

    inputs: int
    hidden: tuple[int, ...]
    outputs: int
    free: int
    activation: str = "tanh"
    shared: bool = False
    values: int = 1
    """Outputs of the value head: 1 for V, one per action for Q, 0 without one."""
    tutored: bool = False
    """Whether the actor's trunk has an auxiliary value head too, as the last policy output."""

    @property
    def trunks(self) -> int:
        """K."""
        return 1 if self.shared else 2

    @property
    def valued(self) -> bool:
        """Whether there is a value head; without a policy head there are no outputs."""
        return self.values > 0

    @property
    def width(self) -> int:
        """H: what the heads read."""
        return self.hidden[-1] if self.hidden else self.inputs

    @cached_property
    def size(self) -> int:
        """P."""
        heads = self._policy_size + self._value_size + (self.width + 1) * self.tutored
        return self.trunks * self._trunk_size + heads

    @cached_property
    def actor(self) -> Self:
        """The policy as a network of its own, without the critic's trunk and the value head."""
        return replace(self, shared=True, values=0, tutored=False)

    @cached_property
    def critic(self) -> Self:
        """What value epochs train, as a network of its own.

        The value function without the actor's trunk and the policy head; with a shared trunk the value head,
        over its features.
        """
        alone = replace(self, outputs=0, free=0, shared=True, tutored=False)
        return replace(alone, inputs=self.width, hidden=()) if self.shared else alone

    @cached_property
    def with_auxiliary(self) -> Self:
        """With a value head on the actor's trunk as well; the same where that trunk has V's own."""
        return self if self.shared else replace(self, tutored=True)

    @cached_property
    def blocks(self) -> dict[str, slice]:
        """Where the parameters of `actor` and `critic` lie; of a shared trunk's `heads`; of `auxiliary`."""
        actor = self._trunk_size + self._policy_size
        found = {"actor": slice(0, actor), "critic": slice(actor, actor + self.critic.size)}
        if self.shared:
            found["heads"] = slice(self._trunk_size, self.size)
        if self.tutored:
            found["auxiliary"] = slice(self.size - self.width - 1, self.size)
        return found

    @cached_property
    def declared(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of one run's parameters in the declared order, [K, ...] for those of trunks."""
        return {name: place.shape for name, place in self.places.items()}

    @cached_property
    def order(self) -> Tensor | None:
        """[P] int64: places in the flat buffer in the declared order; None where they are the same."""
        if self.trunks == 1 and not self.tutored:
            return None
        places = self.unflatten(torch.arange(self.size).unsqueeze(0))
        if self.tutored:
            head = places.pop("auxiliary.head")
            weight, bias = places["policy.weight"], places["policy.bias"]
            places["policy.weight"] = torch.cat((weight, head[:, :-1].unsqueeze(-1)), -1)
            places["policy.bias"] = torch.cat((bias, head[:, -1:]), -1)
        return torch.cat([part.flatten() for part in places.values()])

    def unflatten(self, parameters: Tensor) -> dict[str, Tensor]:
        """Views of a flat [R, P] buffer by name, each [R, *shape], in the declared order."""
        return {name: self._view(parameters, place) for name, place in self.places.items()}

    def first(self, parameters: Tensor) -> Tensor:
        """Weights and biases of the first hidden layer as one view [R, K, I + 1, O]."""
        shape, strides, offset = self.places["trunk.0.weight"]
        joined = (shape[0], shape[1] + 1, shape[2])
        return self._view(parameters, Place(joined, strides, offset))

    def initial(self, initialisation: Initialisation, generator: torch.Generator) -> Tensor:
        """Fresh parameters of one run, [P]; drawn in the declared order."""
        parameters = torch.empty(1, self.size)
        gains = {"policy": initialisation.policy_gain, "value": initialisation.value_gain}
        parts = self.unflatten(parameters)
        for name, part in parts.items():
            group, _, leaf = name.rpartition(".")
            if leaf == "free":
                part.fill_(initialisation.log_std)
            elif initialisation.orthogonal and leaf == "bias":
                part.zero_()
            elif initialisation.orthogonal:
                gain = gains.get(group, initialisation.hidden_gain)
                for matrix in part.flatten(0, -3):
                    matrix.copy_(_orthogonal(matrix.shape, gain, generator))
            else:
                bound = parts[f"{group}.weight"].shape[-2] ** -0.5
                part.copy_(torch.empty(part.shape).uniform_(-bound, bound, generator=generator))
        return parameters[0]

    def initial_auxiliary(self, initialisation: Initialisation, generator: torch.Generator) -> Tensor:
        """Fresh parameters [H + 1] of an auxiliary value head, drawn as those of V's head are."""
        heads = replace(self, inputs=self.width, hidden=(), shared=True, tutored=False)
        return heads.initial(initialisation, generator)[-(self.width + 1) :].contiguous()

    @property
    def _policy_size(self) -> int:
        return (self.width + 1) * self.outputs + self.free

    @property
    def _value_size(self) -> int:
        return (self.width + 1) * self.values

    @cached_property
    def _trunk_size(self) -> int:
        widths = (self.inputs, *self.hidden)
        return sum((inputs + 1) * outputs for inputs, outputs in pairwise(widths))

    @cached_property
    def places(self) -> dict[str, Place]:
        """Every parameter by name, in the declared order."""
        apart = self._trunk_size + self._policy_size
        found: dict[str, Place] = {}
        offset, width = 0, self.inputs
        for depth, size in enumerate(self.hidden):
            found[f"trunk.{depth}.weight"] = Place((self.trunks, width, size), (apart, size, 1), offset)
            offset += width * size
            found[f"trunk.{depth}.bias"] = Place((self.trunks, size), (apart, 1), offset)
            offset += size
            width = size
        value = offset + self._policy_size + (self._trunk_size if self.trunks == 2 else 0)
        ends = value + self._value_size
        places = {
            "policy.weight": ((width, self.outputs), offset),
            "policy.bias": ((self.outputs,), offset + width * self.outputs),
            "policy.free": ((1, self.free), offset + (width + 1) * self.outputs),
            "value.weight": ((width, self.values), value),
            "value.bias": ((self.values,), value + width * self.values),
        }
        if self.tutored:
            places["auxiliary.head"] = ((width + 1,), ends)
        return found | {
            name: Place(shape, tuple(_strides(shape)), at) for name, (shape, at) in places.items()
        }

    @staticmethod
    def _view(parameters: Tensor, place: Place) -> Tensor:
        row, (shape, strides, offset) = parameters.stride(0), place
        return parameters.as_strided(
            (parameters.shape[0], *shape), (row, *strides), parameters.storage_offset() + offset
        )


def _strides(shape: tuple[int, ...]) -> Iterator[int]:
    """Of contiguous memory."""
    return (math.prod(shape[place + 1 :]) for place in range(len(shape)))


def _orthogonal(shape: torch.Size, gain: float, generator: torch.Generator) -> Tensor:
    inputs, outputs = shape
    return nn.init.orthogonal_(torch.empty(outputs, inputs), gain, generator=generator).T
