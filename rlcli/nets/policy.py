"""A policy: a function of raw observations, with everything that fixes it in one snapshot.

With memory, rows are sequences, and it is passed beside them. Shapes: R runs, B rows, N environments, D
policy outputs, F free policy parameters, P parameters, M numbers of memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from rlcli.maths.distribution import Distribution
from rlcli.maths.distributions import Family
from rlcli.nets.critic import STATE_VALUES, Critic
from rlcli.nets.memory import Memory
from rlcli.nets.network import ACTOR, ALL, CRITIC, Linearised, Network
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


class Step(NamedTuple):
    """Outputs of the policy head while acting."""

    state: Tensor
    """[R, N, D]."""
    free: Tensor
    """[R, 1, F]."""
    memory: Tensor | None
    """[R, N, M]: recurrent state after the step; None: the network has none."""


@dataclass(frozen=True)
class Model:
    """The architecture shared by all runs of a cohort: a network and how its outputs are read."""

    network: Network
    family: Family
    critic: Critic = STATE_VALUES
    """How the value head is read."""

    def encode(self, snapshot: Snapshot, observations: Tensor) -> Tensor:
        """Inputs of the network from raw observations [R, B, ...], by the snapshot's statistics."""
        return self.network.encoder.encode(observations, snapshot.moments)

    def read(self, parameters: Tensor, inputs: Tensor, memory: Memory | None = None) -> Outputs:
        """The policy head at encoded inputs [R, B, ...]."""
        heads = self.network.heads(parameters, inputs, memory, part=ACTOR)
        return Outputs(heads.output, heads.free)

    def step(self, parameters: Tensor, inputs: Tensor, state: Tensor | None) -> Step:
        """The policy head at one step, of environments with this recurrent state [R, N, M]."""
        memory = None if state is None else Memory(state)
        # The critic's state must advance, too.
        part = ACTOR if memory is None else ALL
        heads = self.network.heads(parameters, inputs, memory, part=part)
        return Step(heads.output, heads.free, heads.memory)

    def outputs(self, snapshot: Snapshot, observations: Tensor, memory: Memory | None = None) -> Outputs:
        """The policy head at raw observations [R, B, ...]."""
        return self.read(snapshot.parameters, self.encode(snapshot, observations), memory)

    def distribution(self, parameters: Tensor, inputs: Tensor, memory: Memory | None = None) -> Distribution:
        """π(.|s) at encoded inputs [R, B, ...]."""
        return self.family.distribution(*self.read(parameters, inputs, memory))

    def both_heads(
        self, parameters: Tensor, inputs: Tensor, memory: Memory | None = None
    ) -> tuple[Outputs, Tensor]:
        """The policy and the value head at encoded inputs [R, B, ...]; one pass if they share all of it."""
        heads = self.network.both(parameters, inputs, memory)
        return Outputs(heads.output, heads.free), heads.value

    def recorded(
        self, parameters: Tensor, inputs: Tensor, memory: Memory | None = None
    ) -> tuple[Outputs, Tensor, Linearised | None]:
        """As `both_heads`, and the pass with its derivatives where the network keeps it."""
        heads, linear = self.network.recorded(parameters, inputs, memory)
        return Outputs(heads.output, heads.free), heads.value, linear

    def criticised(self, head: Tensor, policy: Distribution, actions: Tensor) -> tuple[Tensor, Tensor]:
        """V of the states and what is predicted of the samples, both [R, B], by the value head's outputs."""
        return self.critic.state_values(head, policy), self.critic.predictions(head, actions)

    def value(self, parameters: Tensor, inputs: Tensor, memory: Memory | None = None) -> Tensor:
        """V [R, B] at encoded inputs [R, B, ...]."""
        if not self.critic.reads_policy:
            return self.network.heads(parameters, inputs, memory, part=CRITIC).value
        outputs, head = self.both_heads(parameters, inputs, memory)
        return self.critic.state_values(head, self.family.distribution(*outputs))
