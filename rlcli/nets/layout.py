"""Stacked multilayer perceptrons: which numbers they have, and where these lie.

Parameters live in one flat [R, P] buffer, so that gradients, norms and optimiser steps are single operations.
Shapes: R runs, K trunks a run (2: actor and critic; 1: shared), D policy outputs, F free policy parameters,
P parameters of one run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

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


@dataclass(frozen=True)
class Layout:
    """The parameters of a policy and a value function over flat observations, or of one of them alone."""

    inputs: int
    hidden: tuple[int, ...]
    outputs: int
    free: int
    activation: str = "tanh"
    shared: bool = False
    valued: bool = True
    """Whether there is a value head; without a policy head there are no outputs."""

    @property
    def trunks(self) -> int:
        """K."""
        return 1 if self.shared else 2

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of one run's parameters in the order they lie in the flat buffer."""
        shapes: dict[str, tuple[int, ...]] = {}
        width = self.inputs
        for depth, size in enumerate(self.hidden):
            shapes[f"trunk.{depth}.weight"] = (self.trunks, width, size)
            shapes[f"trunk.{depth}.bias"] = (self.trunks, size)
            width = size
        shapes["policy.weight"] = (width, self.outputs)
        shapes["policy.bias"] = (self.outputs,)
        shapes["policy.free"] = (1, self.free)
        shapes["value.weight"] = (width, int(self.valued))
        shapes["value.bias"] = (int(self.valued),)
        return shapes

    @cached_property
    def sizes(self) -> list[int]:
        """Number of elements of each of `shapes`."""
        return [math.prod(shape) for shape in self.shapes.values()]

    @cached_property
    def actor(self) -> Self:
        """The policy as a network of its own, without the critic's trunk and the value head."""
        return replace(self, shared=True, valued=False)

    @cached_property
    def critic(self) -> Self:
        """The value function as a network of its own, without the actor's trunk and the policy head."""
        return replace(self, outputs=0, free=0, shared=True)

    @cached_property
    def heads(self) -> Self:
        """Both heads as a network of their own, whose inputs are the features of the last hidden layer."""
        width = self.hidden[-1] if self.hidden else self.inputs
        return replace(self, inputs=width, hidden=(), shared=True)

    @cached_property
    def auxiliary(self) -> Self:
        """With a value head on the actor's trunk as well: its last policy output, unless that has V's own."""
        return self if self.shared else replace(self, outputs=self.outputs + 1)

    @cached_property
    def actor_columns(self) -> Tensor:
        """Where the parameters of `actor` lie in the flat buffer, int64."""
        return self._columns("policy", 0)

    @cached_property
    def critic_columns(self) -> Tensor:
        """Where the parameters of `critic` lie in the flat buffer, int64."""
        return self._columns("value", self.trunks - 1)

    @cached_property
    def head_columns(self) -> Tensor:
        """Where the parameters of `heads` lie in the flat buffer, int64."""
        total = sum(self.sizes)
        return torch.arange(total - sum(self.heads.sizes), total)

    @cached_property
    def auxiliary_columns(self) -> Tensor:
        """Where the parameters of `auxiliary` lie in the flat buffer with the added head after it, int64."""
        columns = torch.arange(sum(self.auxiliary.sizes)).unsqueeze(0)
        if self.shared:
            return columns[0]
        total = sum(self.sizes)
        parts, weight, bias = self.unflatten(columns[:, :total]), columns[:, total:-1], columns[:, -1:]
        parts["policy.weight"] = torch.cat((parts["policy.weight"], weight.unsqueeze(-1)), -1)
        parts["policy.bias"] = torch.cat((parts["policy.bias"], bias), -1)
        return torch.cat([part.flatten() for part in parts.values()])

    def _columns(self, head: str, trunk: int) -> Tensor:
        parts = self.unflatten(torch.arange(sum(self.sizes)).unsqueeze(0))
        of_trunk = [part[0, trunk] for name, part in parts.items() if name.startswith("trunk")]
        of_head = [part[0] for name, part in parts.items() if name.startswith(head)]
        return torch.cat([part.flatten() for part in of_trunk + of_head])

    def unflatten(self, parameters: Tensor) -> dict[str, Tensor]:
        """Views of a flat [R, P] buffer by name, each [R, *shape]."""
        runs = parameters.shape[0]
        chunks = torch.split(parameters, self.sizes, 1)
        return {
            name: chunk.view(runs, *shape)
            for (name, shape), chunk in zip(self.shapes.items(), chunks, strict=True)
        }

    def initial(self, initialisation: Initialisation, generator: torch.Generator) -> Tensor:
        """Fresh parameters of one run, [P]."""
        parameters = torch.empty(1, sum(self.sizes))
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


def _orthogonal(shape: torch.Size, gain: float, generator: torch.Generator) -> Tensor:
    inputs, outputs = shape
    return nn.init.orthogonal_(torch.empty(outputs, inputs), gain, generator=generator).T
