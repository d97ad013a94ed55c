"""The actor inside the stepping loop: a policy on the host, in numpy.

On a few rows a product costs torch's dispatcher three times what it costs numpy, and numpy multiplies stacked
matrices one by one, so that a run acts the same alone or stacked. The update recomputes all outputs in one
batch and holds them against these. Shapes: R runs, N environments, D policy outputs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rlcli.nets.policy import Model, Snapshot

Array = npt.NDArray[Any]


class Actor:
    """One snapshot's policy, everything that does not depend on observations prepared."""

    def __init__(self, model: Model, snapshot: Snapshot) -> None:
        self._family = model.family
        self._encode = model.encoder.on_host(snapshot.moments)
        self._head, self._free = model.network.policy_on_host(snapshot.parameters)

    def __call__(self, observations: Array, noise: Array | None = None) -> tuple[Array, Array]:
        """Actions and head outputs [R, N, D] at raw observations [R, N, ...].

        `noise` as the family draws it; without it the most probable action.
        """
        # A policy that diverged is reported by the update, with its batch, not by numpy.
        with np.errstate(all="ignore"):
            output = self._head(self._encode(observations))
            return self._family.act(output, self._free, noise), output
