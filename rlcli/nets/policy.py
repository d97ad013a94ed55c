"""A policy: a function of raw observations, with everything that fixes it in one snapshot.

Shapes: R runs, B rows, D policy outputs, F free policy parameters, P parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from rlcli.maths.distribution import Distribution
from rlcli.maths.distributions import Family
from rlcli.nets.network import ACTOR, CRITIC, Network
from rlcli.nets.observations import Moments


class Snapshot(NamedTuple):
    """What a policy's numbers depend on: parameters and observation statistics."""

    parameters: Tensor
    """[R, P]."""
    moments: Moments


class Outputs(NamedTuple):
    """Outputs of the policy head for each row, before they are read as a distribution."""

    state: Tensor
    """[R, B, D]."""
    free: Tensor
    """[R, 1, F]: parameters that do not depend on the state."""


@dataclass(frozen=True)
class Model:
    """The architecture shared by all runs of a cohort: a network and how its outputs are read."""

    network: Network
    family: Family

    def encode(self, snapshot: Snapshot, observations: Tensor) -> Tensor:
        """Inputs of the network from raw observations [R, B, ...], by the snapshot's statistics."""
        return self.network.encoder.encode(observations, snapshot.moments)

    def read(self, parameters: Tensor, inputs: Tensor) -> Outputs:
        """The policy head at encoded inputs [R, B, ...]."""
        heads = self.network.heads(parameters, inputs, part=ACTOR)
        return Outputs(heads.output, heads.free)

    def outputs(self, snapshot: Snapshot, observations: Tensor) -> Outputs:
        """The policy head at raw observations [R, B, ...]."""
        return self.read(snapshot.parameters, self.encode(snapshot, observations))

    def distribution(self, parameters: Tensor, inputs: Tensor) -> Distribution:
        """π(.|s) at encoded inputs [R, B, ...]."""
        return self.family.distribution(*self.read(parameters, inputs))

    def outputs_and_values(self, parameters: Tensor, inputs: Tensor) -> tuple[Outputs, Tensor]:
        """The policy head and V [R, B] at encoded inputs [R, B, ...]; one pass where they share all of it."""
        heads = self.network.both(parameters, inputs)
        return Outputs(heads.output, heads.free), heads.value

    def value(self, parameters: Tensor, inputs: Tensor) -> Tensor:
        """V [R, B] at encoded inputs [R, B, ...]."""
        return self.network.heads(parameters, inputs, part=CRITIC).value
