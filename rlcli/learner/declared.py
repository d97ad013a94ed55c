"""States in the form of checkpoints and digests: parameters in their network's declared order.

The network chooses the memory layout of parameters, which may change; saved states do not.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from rlcli.learner.state import OptimiserState, TrainState
from rlcli.nets.network import Network, from_order, in_order
from rlcli.nets.policy import Snapshot


def to_declared(state: TrainState, network: Network) -> TrainState:
    """A state, with or without run axis, with its parameters in the declared order."""
    return _reordered(state, network, in_order)


def from_declared(state: TrainState, network: Network) -> TrainState:
    """The inverse of `to_declared`."""
    return _reordered(state, network, from_order)


def _reordered(state: TrainState, network: Network, order: Callable[[Network, Tensor], Tensor]) -> TrainState:
    def moments(of: OptimiserState, net: Network) -> OptimiserState:
        return of._replace(first=order(net, of.first), second=order(net, of.second))

    def snapshot(of: Snapshot) -> Snapshot:
        return of._replace(parameters=order(network, of.parameters))

    phases = state.phases
    if network.auxiliary is not None and phases.auxiliary.first.shape[-1]:
        phases = phases._replace(auxiliary=moments(phases.auxiliary, network.auxiliary))
    kept = state.kept
    if kept.policies.parameters.shape[-1]:
        kept = kept._replace(policies=snapshot(kept.policies))
    return state._replace(
        policy=snapshot(state.policy),
        optimiser=moments(state.optimiser, network),
        queue=snapshot(state.queue),
        phases=phases,
        kept=kept,
    )
