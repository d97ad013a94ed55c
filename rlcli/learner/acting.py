"""Outputs of the policies that acted in a rollout, recomputed.

Shapes: T time, R runs, N environments of one run, B = T N samples, U unrolls, F free policy parameters.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rlcli.collect.rollout import Rollout
from rlcli.learner.batch import by_run, memory_of
from rlcli.learner.state import TrainState, behaviour, map_leaves
from rlcli.nets.policy import Model, Outputs


def acting_outputs(model: Model, state: TrainState, rollout: Rollout, unrolls: int) -> Outputs:
    """The policy head at every sample [R, B] under the policy that acted there.

    A rollout that was joined of U unrolls has as many policies in `state.queue`, the k-th of which acted in
    environments k N/U .. (k + 1) N/U - 1; free parameters are then [R, B, F].
    """
    if unrolls == 1:
        return model.outputs(behaviour(state), by_run(rollout.acted_on), memory_of(rollout))
    width = rollout.actions.shape[2] // unrolls
    found = []
    for place in range(unrolls):
        policy = map_leaves(lambda leaf, place=place: leaf[:, place].contiguous(), state.queue)
        part = rollout.part(slice(place * width, (place + 1) * width))
        found.append(model.outputs(policy, by_run(part.acted_on), memory_of(part)))
    steps = len(rollout.actions)

    def joined(parts: list[Tensor]) -> Tensor:
        """[R, T N/U, ...] of each unroll -> [R, T N, ...]."""
        return torch.cat([part.reshape(len(part), steps, width, -1) for part in parts], 2).flatten(1, 2)

    rows = steps * width
    return Outputs(
        joined([one.state for one in found]),
        joined([one.free.expand(-1, rows, -1) for one in found]),
    )
