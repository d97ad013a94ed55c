"""A policy: a function of raw observations, with everything that fixes it in one snapshot.

Shapes: R runs, B rows, N environments, O observation width, D policy outputs, P parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from rlcli.maths.distributions import Distribution, Family
from rlcli.nets.mlp import MLP
from rlcli.nets.observations import Encoder, Moments


class Snapshot(NamedTuple):
    """What a policy's numbers depend on: parameters and observation statistics."""

    parameters: Tensor
    """[R, P]."""
    moments: Moments


class Outputs(NamedTuple):
    """What the policy head says about each row, before it is read as a distribution."""

    state: Tensor
    """[R, B, D]."""
    free: Tensor
    """[R, 1, F]: parameters that do not depend on the state."""


@dataclass(frozen=True)
class Model:
    """The architecture shared by all runs of a cohort."""

    network: MLP
    family: Family
    encoder: Encoder

    def encode(self, snapshot: Snapshot, observations: Tensor) -> Tensor:
        """Network inputs [R, B, O] of raw observations [R, B, ...]."""
        return self.encoder.encode(observations, snapshot.moments)

    def distribution(self, parameters: Tensor, inputs: Tensor) -> Distribution:
        """π(.|s) at encoded inputs [R, B, O]."""
        return self.family.distribution(*self.network.policy(parameters, inputs))

    def outputs(self, snapshot: Snapshot, observations: Tensor) -> Outputs:
        """The policy head at raw observations [R, B, ...]."""
        inputs = self.encode(snapshot, observations)
        return Outputs(*self.network.policy(snapshot.parameters, inputs))
