"""The actor inside the stepping loop: a policy in numpy where the network has one, else in torch.

On a few rows a product costs torch's dispatcher three times what it costs numpy, and numpy multiplies stacked
matrices one by one, so that a run acts the same alone or stacked. The update recomputes all outputs in one
batch and compares them with these. Shapes: R runs, N environments, D policy outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from rlcli.nets.policy import Model, Snapshot

Array = npt.NDArray[Any]
PolicyOutputs = Callable[[Array], tuple[Array, Array]]
"""Raw observations [R, N, ...] -> policy outputs [R, N, D] and free parameters [R, 1, F]."""


class Actor:
    """One snapshot's policy, everything that does not depend on observations prepared."""

    def __init__(self, model: Model, snapshot: Snapshot) -> None:
        self._family = model.family
        self._outputs = _on_host(model, snapshot) or _in_torch(model, snapshot)

    def __call__(self, observations: Array, noise: Array | None = None) -> tuple[Array, Array]:
        """Actions and head outputs [R, N, D] at raw observations [R, N, ...].

        `noise` as the family draws it; without it the most probable action.
        """
        # A policy that diverged is reported by the update, with its batch, not by numpy.
        with np.errstate(all="ignore"):
            output, free = self._outputs(observations)
            return self._family.act(output, free, noise), output


def _on_host(model: Model, snapshot: Snapshot) -> PolicyOutputs | None:
    policy = model.network.on_host(snapshot.parameters)
    if policy is None:
        return None
    encode, (head, free) = model.network.encoder.on_host(snapshot.moments), policy
    return lambda observations: (head(encode(observations)), free)


def _in_torch(model: Model, snapshot: Snapshot) -> PolicyOutputs:
    def outputs(observations: Array) -> tuple[Array, Array]:
        raw = torch.from_numpy(observations).to(snapshot.parameters.device)
        output, free = model.outputs(snapshot, raw)
        return output.cpu().numpy(), free.cpu().numpy()

    return outputs
