"""The actor inside the stepping loop: a policy in numpy where the network has one, else in torch.

On a few rows a product costs torch's dispatcher three times what it costs numpy, and numpy multiplies stacked
matrices one by one, so that a run acts the same alone or stacked. The update recomputes all outputs in one
batch and compares them with these. Shapes: R runs, N environments, D policy outputs, M numbers of memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from rlcli.nets.policy import Model, Snapshot

Array = npt.NDArray[Any]


class Acted(NamedTuple):
    """One step of a policy."""

    actions: Array
    """[R, N] or [R, N, A]."""
    outputs: Array
    """[R, N, D]: of the policy head."""
    memory: Array | None
    """[R, N, M]: recurrent state after the step; None: the network has none."""


class _Shown(NamedTuple):
    """Outputs of a policy at raw observations."""

    outputs: Array
    free: Array
    """[R, 1, F]."""
    memory: Array | None


class Actor:
    """One snapshot's policy, everything that does not depend on observations prepared."""

    def __init__(self, model: Model, snapshot: Snapshot) -> None:
        self._family = model.family
        self._show = _on_host(model, snapshot) or _in_torch(model, snapshot)

    def __call__(self, observations: Array, noise: Array | None = None, memory: Array | None = None) -> Acted:
        """Actions and head outputs at raw observations [R, N, ...], from recurrent state [R, N, M].

        `noise` as the family draws it; without it the most probable action.
        """
        # A policy that diverged is reported by the update, with its batch, not by numpy.
        with np.errstate(all="ignore"):
            shown = self._show(observations, memory)
            return Acted(self._family.act(shown.outputs, shown.free, noise), shown.outputs, shown.memory)


def _on_host(model: Model, snapshot: Snapshot) -> Callable[[Array, Array | None], _Shown] | None:
    policy = model.network.on_host(snapshot.parameters)
    if policy is None:
        return None
    encode, (head, free) = model.network.encoder.on_host(snapshot.moments), policy

    def show(observations: Array, memory: Array | None) -> _Shown:
        outputs, after = head(encode(observations), memory)
        return _Shown(outputs, free, after)

    return show


def _in_torch(model: Model, snapshot: Snapshot) -> Callable[[Array, Array | None], _Shown]:
    def show(observations: Array, memory: Array | None) -> _Shown:
        device = snapshot.parameters.device
        inputs = model.encode(snapshot, torch.from_numpy(observations).to(device))
        before = None if memory is None else torch.from_numpy(memory).to(device)
        outputs, free, after = model.step(snapshot.parameters, inputs, before)
        left = None if after is None else after.cpu().numpy()
        return _Shown(outputs.cpu().numpy(), free.cpu().numpy(), left)

    return show
