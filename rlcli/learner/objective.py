"""The gradient of the whole batch's objective at the start of an update.

Shapes: R runs, B samples, Q parameters of the actor's part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from rlcli.learner.algorithm import Start
from rlcli.nets.network import ACTOR, Heads, Linearised, vjp_by_blocks

if TYPE_CHECKING:
    from rlcli.learner.learnt import SampledPolicy


def objective_gradient(start: Start, initial: SampledPolicy, linear: Linearised | None) -> Tensor:
    """See `Operations`: by the slope of the surrogate."""
    batch, network = start.batch, start.model.network
    surrogate = start.algorithm.surrogate(
        initial.log_prob, batch.log_anchor, start.objective_advantages, start.hyper
    )
    by_log_prob = batch.weighted(surrogate.slope) / start.configs[0].learnt_size
    for_output, for_free = initial.distribution.pullback(batch.actions, by_log_prob, None)
    by_heads = Heads(for_output, for_free, for_output.new_empty(*for_output.shape[:2], 0))
    if linear is not None:
        return linear.vjp(by_heads)
    return vjp_by_blocks(network, start.parameters, batch.inputs, by_heads, ACTOR, batch.memory)
