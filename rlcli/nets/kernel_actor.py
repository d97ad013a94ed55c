"""The actor inside the stepping loop in C: encoder, network and choice of an action in one call.

Its outputs are, to the last bit, those that the kernels of whole batches compute. Shapes: R runs, N
environments, D policy outputs.
"""

from __future__ import annotations

import numpy as np
import torch

from rlcli.kernels.acting import Acting, Choice, Whitening
from rlcli.kernels.library import available
from rlcli.kernels.network import DEPTH
from rlcli.maths.distributions import CategoricalFamily, Family, GaussianFamily
from rlcli.maths.factored import BernoulliFamily, MultiCategoricalFamily
from rlcli.nets.actor import Acted, Actor, Array
from rlcli.nets.network import ACTOR
from rlcli.nets.policy import Model, Snapshot
from rlcli.nets.stacked.kernel import KernelMLP, describe

CHOICES: dict[type, str] = {
    CategoricalFamily: "categorical",
    GaussianFamily: "gaussian",
    MultiCategoricalFamily: "categorical",
    BernoulliFamily: "bernoulli",
}
FLOATS = "fd"
"""Codes of the types of observations that C takes as they are."""


def choice_of(family: Family) -> Choice | None:
    """How C reads the outputs of this family's policies; None: it cannot."""
    name = CHOICES.get(type(family))
    return None if name is None else Choice(name, getattr(family, "sizes", ()))


def covers(model: Model) -> bool:
    """Whether C can act for policies of this architecture, and computes them in the update, too."""
    network = model.network
    known = isinstance(network, KernelMLP) and len(network.layout.hidden) <= DEPTH
    return known and choice_of(model.family) is not None and bool(available())


def acting(model: Model, snapshot: Snapshot) -> Acting:
    """A snapshot's policies in C; the architecture must be covered."""
    network, choice = model.network, choice_of(model.family)
    assert isinstance(network, KernelMLP)
    assert choice is not None
    encoder, whitening = network.encoder, None
    if encoder.normalize and encoder.kind != "discrete":
        whitening = Whitening(*(part.cpu().contiguous() for part in encoder.whitening(snapshot.moments)))
    return Acting(describe(network.layout, ACTOR), choice, snapshot.parameters.cpu(), whitening)


class KernelActor(Actor):
    """One snapshot's policy, for an architecture that is covered and float32 parameters."""

    def __init__(self, model: Model, snapshot: Snapshot) -> None:
        encoder = model.network.encoder
        self._acting = acting(model, snapshot)
        self._one_hot = encoder.on_host(snapshot.moments) if encoder.kind == "discrete" else None
        self._single = not encoder.normalize

    def __call__(self, observations: Array, noise: Array | None = None, memory: Array | None = None) -> Acted:
        """Actions and head outputs at raw observations [R, N, ...]; see `Actor`."""
        if self._one_hot is not None:
            observations = self._one_hot(observations)
        elif observations.dtype.char not in FLOATS:
            observations = observations.astype(np.float32 if self._single else np.float64)
        actions, outputs = self._acting(observations, noise)
        return Acted(actions, outputs, None)


def actor(model: Model, snapshot: Snapshot) -> Actor:
    """In C where that is possible."""
    if covers(model) and snapshot.parameters.dtype is torch.float32:
        return KernelActor(model, snapshot)
    return Actor(model, snapshot)
