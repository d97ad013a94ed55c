"""Comparison of an exported policy with the run's own, on observations that are drawn.

Shapes: B observations, D policy outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from rlcli.export.observations import Drawn, drawn
from rlcli.maths.distributions import Gaussian
from rlcli.maths.gaussians import SquashedFamily
from rlcli.nets.memory import Memory
from rlcli.runs.observed import Reader
from rlcli.runs.policy import Trained
from rlcli.standalone.inputs import NEXT_STATE
from rlcli.standalone.policy import PolicyModule

Array = npt.NDArray[Any]
OBSERVATIONS = 1_000
SINGLE = 3
"""Observations that are passed one by one, before all others together."""
TOLERANCE = 1e-4
"""Largest difference of an output, as a share of its largest number where that is above 1."""

Act = Callable[[Mapping[str, Array]], Mapping[str, Array]]
"""Inputs by name, each [B, ...] -> outputs by name; those it lacks are not compared."""


class Agreement(NamedTuple):
    """How an exported policy compares with the run's own."""

    observations: int
    differences: dict[str, float]
    """By output the largest difference, as a share of its largest number where that is above 1."""
    ties: int
    """Observations whose actions differ, where both have the same logit within the tolerance."""

    @property
    def text(self) -> str:
        """A sentence."""
        largest = max(self.differences.values(), default=0.0)
        ties = f"; {self.ties} ties were decided otherwise" if self.ties else ""
        return (
            f"On {self.observations:,} observations drawn at random it chose the run's own most probable "
            f"actions{ties}; outputs differ by at most {largest:.1e} (tolerance {TOLERANCE:.0e})."
        )


class Disagreement(Exception):
    """An exported policy that is another than the run's; the message says what differs by how much."""


def check(trained: Trained, module: PolicyModule, act: Act) -> Agreement:
    """Compares a policy with the run's own.

    Raises:
        Disagreement: it acts otherwise, or an output differs by more than the tolerance.
    """
    given = drawn(trained.spec.observation, module, OBSERVATIONS)
    wanted = reference(trained, given)
    pieces = [
        act({name: part[place : place + 1] for name, part in given.tensors.items()})
        for place in range(SINGLE)
    ]
    pieces.append(act({name: part[SINGLE:] for name, part in given.tensors.items()}))
    found = {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
    return compared(found, wanted, trained)


def compared(found: Mapping[str, Array], wanted: Mapping[str, Array], trained: Trained) -> Agreement:
    """Raises `Disagreement` where outputs are not those that are wanted."""
    differences = {}
    for name, values in found.items():
        if name == "action" and trained.spec.action.kind != "box":
            continue
        if values.shape != wanted[name].shape:
            raise Disagreement(f"its {name} has shape {values.shape}, not {wanted[name].shape}")
        # Logits that a mask does not allow are equal, and far larger than all others.
        off = np.abs(values.astype(np.float64) - wanted[name])
        size = np.abs(wanted[name]).astype(np.float64)
        largest = size[size < 2.0**99].max(initial=1.0)
        differences[name] = float(off.max(initial=0.0) / largest)
        if not differences[name] <= TOLERANCE:
            raise Disagreement(f"its {name} differs by {off.max():.3g}")
    ties = 0
    if trained.spec.action.kind != "box":
        ties = _ties(found["action"], wanted["action"], wanted["logits"], trained)
    return Agreement(len(wanted["action"]), differences, ties)


def _ties(found: Array, wanted: Array, logits: Array, trained: Trained) -> int:
    """How many observations have another action, which is allowed where logits are equal in the tolerance."""
    if found.shape != wanted.shape:
        raise Disagreement(f"its actions have shape {found.shape}, not {wanted.shape}")
    other = (found != wanted).reshape(len(found), -1)
    for row in np.flatnonzero(other.any(-1)).tolist():
        margins = _margins(found[row], wanted[row], logits[row], trained)
        if max(margins) > TOLERANCE * max(1.0, float(np.abs(logits[row]).max())):
            raise Disagreement(
                f"at observation {row} its action is {found[row].tolist()}, not {wanted[row].tolist()}"
            )
    return int(other.any(-1).sum())


def _margins(found: Array, wanted: Array, logits: Array, trained: Trained) -> list[float]:
    """By how much the logit of the wanted choice is above that of the one found, for each element."""
    action = trained.spec.action
    if action.kind == "multibinary":
        return [abs(float(logit)) for logit in logits[(found != wanted).ravel()]]
    sizes: Sequence[int] = action.sizes if action.kind == "multidiscrete" else (action.width,)
    start = np.cumsum(sizes) - sizes
    ours, theirs = ((np.ravel(one - action.start) + start).astype(int) for one in (wanted, found))
    margins: list[float] = np.abs(logits[ours] - logits[theirs]).tolist()
    return margins


def reference(trained: Trained, given: Drawn) -> dict[str, Array]:
    """Outputs of the run's own policy, by the names of the module's."""
    model, snapshot = trained.policy
    observed = Reader(trained, "the run").read(given.observations, given.state, given.mask)
    family = model.family
    with torch.inference_mode():
        inputs = model.encode(snapshot, torch.from_numpy(observed.inputs))
        memory = None if observed.memory is None else Memory(torch.from_numpy(observed.memory))
        heads = model.network.heads(snapshot.parameters, inputs, memory)
        output, free = heads.output, heads.free
        chosen = family.act(output.numpy(), free.numpy(), None)
        spec = trained.spec.action
        found = {"action": spec.to_env(chosen.reshape(1, -1, *spec.shape))[0]}
        base = family.base if isinstance(family, SquashedFamily) else family
        distribution = base.distribution(output, free)
        if isinstance(distribution, Gaussian):
            found |= {
                name: part[0].numpy()
                for name, part in zip(("mean", "log_std"), distribution.moments(), strict=True)
            }
        else:
            found["logits"] = output[0].numpy()
        found["value"] = model.critic.state_values(heads.value, distribution)[0].numpy()
        if heads.memory is not None:
            found[NEXT_STATE] = heads.memory[0].numpy()
    return found
