"""The one interface of networks that the learner knows: a policy and a value function of R runs.

Parameters of a run are one flat [P], those of R runs [R, P]. They lie in named parts, contiguous blocks of
the flat buffer: `actor`, which the policy depends on, and `critic`, which value epochs move. Where the two
share a trunk, the critic is its value head alone, or both are the whole buffer.

Shapes: R runs, B rows, I what the encoder makes of an observation, D policy outputs, F free policy
parameters, P parameters of one run, Q those of a part, N sequences, M numbers of recurrent memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import numpy.typing as npt
import torch
from torch import Tensor

from rlcli.nets.memory import Memory
from rlcli.nets.observations import Encoder

Array = npt.NDArray[Any]

ALL, ACTOR, CRITIC, HEADS, AUXILIARY = "all", "actor", "critic", "heads", "auxiliary"
"""Names of parts."""


class Heads(NamedTuple):
    """Outputs of a network at B rows; or the gradient, or the tangent, of something with respect to them."""

    output: Tensor
    """[R, B, D]: of the policy head; [R, B, 0] of a critic."""
    free: Tensor
    """[R, 1, F]: parameters of the policy that do not depend on the observation."""
    value: Tensor
    """[R, B]: V; [R, B, A]: Q of each action, of a critic of these; [R, B, 0] of an actor."""
    memory: Tensor | None = None
    """[R, B, M]: recurrent state after each row; None: the network has none."""


class Linearised(Protocol):
    """A network's outputs at some rows and their derivatives with respect to the parameters of a part."""

    @property
    def heads(self) -> Heads:
        """The outputs at the rows."""

    def vjp(self, by: Heads) -> Tensor:
        """The gradient [R, Q] of any function of the heads, from its gradient `by` with respect to them."""

    def jvp(self, tangent: Tensor) -> Heads:
        """The tangent of the heads along a tangent [R, Q] of the parameters; inputs are constants."""


class Recorded(NamedTuple):
    """A pass over a whole batch that may have kept what derivatives need."""

    heads: Heads
    """Outputs of the policy and values."""
    linear: Linearised | None
    """The same pass with derivatives by the actor's parameters; None: they need a pass of their own."""


class OnHost(NamedTuple):
    """A policy in numpy, for the few rows that environments show at each step."""

    head: Callable[[Array, Any], tuple[Array, Array | None]]
    """Encoded observations [R, N, I] and recurrent state [R, N, M], or None where the network has none ->
    policy outputs [R, N, D] and the state after the step."""
    free: Array
    """[R, 1, F]."""


class Network(Protocol):
    """A policy and a value function, the architecture shared by R runs."""

    @property
    def encoder(self) -> Encoder:
        """From raw observations to the rows that `heads` and `linearise` read."""

    @property
    def parts(self) -> Mapping[str, slice]:
        """Contiguous blocks of the flat buffer: `all`, `actor`, `critic`.

        `heads` are those of a shared trunk, `auxiliary` the head that an auxiliary network adds.
        """

    @property
    def order(self) -> Tensor | None:
        """[P] int64: the declared order of parameters, as places in the flat buffer; None: as they lie.

        Sums over all parameters run in this order, and checkpoints and digests hold parameters in it, so that
        neither depends on how parameters lie in memory.
        """

    @property
    def memory_width(self) -> int:
        """M; 0 without recurrent memory."""

    @property
    def runs_apart(self) -> bool:
        """Whether each run has a call of its own, so that the rows of another change none of its bits."""

    @property
    def units(self) -> int:
        """Numbers that a pass over one row keeps for its derivatives, about; nothing is computed for it."""

    @property
    def auxiliary(self) -> Network | None:
        """The network with a value head on the actor's trunk too, V_aux, as the last of its policy outputs.

        Its parameters are the network's with those of the head after them, its part `auxiliary`. Without
        that part the actor's trunk has V's own head. None: this network cannot have one.
        """

    def initial(self, generator: torch.Generator) -> Tensor:
        """Fresh parameters of one run, [P]."""

    def initial_auxiliary(self, generator: torch.Generator) -> Tensor:
        """Fresh parameters of one run's auxiliary value head."""

    def heads(
        self, parameters: Tensor, inputs: Tensor, memory: Memory | None = None, *, part: str = ALL
    ) -> Heads:
        """Outputs at inputs [R, B, I] for parameters [R, P]; of a part alone those that it determines.

        A network with memory needs `memory`, others ignore it.
        """

    def both(self, parameters: Tensor, inputs: Tensor, memory: Memory | None = None) -> Heads:
        """Outputs of the policy and values at a whole batch, as one part after the other gives them."""

    def recorded(self, parameters: Tensor, inputs: Tensor, memory: Memory | None = None) -> Recorded:
        """As `both`, where a gradient at the same parameters and inputs is to follow."""

    def linearise(
        self,
        parameters: Tensor,
        inputs: Tensor,
        memory: Memory | None = None,
        *,
        part: str = ALL,
        repeatedly: bool = False,
    ) -> Linearised:
        """As `heads`, with derivatives by the parameters of the part; `repeatedly`: many will be asked for.

        Inputs of a part are what `entering` gives.
        """

    def entering(self, parameters: Tensor, inputs: Tensor, part: str) -> Tensor:
        """What a part reads that stays while it alone moves: inputs, or a trunk's features."""

    def blocks(self, inputs: Tensor) -> list[slice]:
        """The runs of inputs [R, B, I], as many at a time as one pass over whole batches should take."""

    def on_host(self, parameters: Tensor) -> OnHost | None:
        """The policy with these parameters in numpy; None: it acts in torch."""


def vjp_by_blocks(
    network: Network,
    parameters: Tensor,
    inputs: Tensor,
    by: Heads,
    part: str,
    memory: Memory | None = None,
) -> Tensor:
    """The gradient [R, Q] of any function of the heads at a whole batch, a few runs at a time."""
    pieces, blocks = [], network.blocks(inputs)
    if len(blocks) == 1:
        return network.linearise(parameters, inputs, memory, part=part).vjp(by)
    for runs in blocks:
        own = None if memory is None else memory.of(runs)
        linear = network.linearise(parameters[runs], inputs[runs], own, part=part)
        pieces.append(linear.vjp(Heads(by.output[runs], by.free[runs], by.value[runs])))
    return torch.cat(pieces)


def parameter_count(network: Network) -> int:
    """P, with the auxiliary head of a network that can have one; nothing is allocated."""
    return int((network.auxiliary or network).parts[ALL].stop)


def in_order(network: Network, parameters: Tensor) -> Tensor:
    """Parameters, or gradients of all of them, [..., P] in the declared order."""
    order = network.order
    return parameters if order is None else parameters.index_select(-1, _beside(order, parameters))


def from_order(network: Network, declared: Tensor) -> Tensor:
    """The inverse of `in_order`."""
    order = network.order
    if order is None:
        return declared
    return torch.empty_like(declared).index_copy_(-1, _beside(order, declared), declared)


def _beside(order: Tensor, values: Tensor) -> Tensor:
    return order if order.device == values.device else order.to(values.device)
