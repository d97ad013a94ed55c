"""Observations that a policy is tried with: drawn by the types of their members, no environment is played.

Shapes: B observations, K choices of a mask.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rlcli.envs.masks import ActionMask
from rlcli.envs.members import Member
from rlcli.envs.spec import ObservationSpec
from rlcli.standalone.inputs import STATE, Input, numpy_dtype
from rlcli.standalone.policy import PolicyModule

Array = npt.NDArray[Any]
WIDEST = 20
"""Whole numbers of a box are drawn from 0 to this, bytes from 0 to 255."""


class Drawn(NamedTuple):
    """The same observations twice."""

    tensors: dict[str, Array]
    """By name of the module's inputs."""
    observations: Any
    """As `LoadedRun.act` takes a batch of them."""
    mask: Array | None
    """[B, K]: what the environment gives in `info`."""
    state: Array | None


def drawn(observation: ObservationSpec, module: PolicyModule, count: int, seed: int = 0) -> Drawn:
    """`count` observations: numbers around their running means with a deviation of twice the running one.

    Without running statistics they are standard normal. Choices, switches, pixels and masks are uniform; a
    mask allows something. Recurrent states are between -1 and 1.
    """
    draws = np.random.default_rng(seed)
    values = [_member(leaf, count, draws) for leaf in observation.leaves]
    _unwhitened(observation, module, values)
    tensors = {one.name: _cast(part, one) for one, part in zip(module.inputs, values, strict=False)}
    parts = list(tensors.values())
    mask = None
    if observation.mask is not None:
        mask = _mask(observation.mask, count, draws)
        tensors[module.inputs[len(values)].name] = mask
    state = None
    if module.inputs[-1].name == STATE and module.inputs[-1].name not in tensors:
        state = draws.uniform(-1.0, 1.0, (count, *module.inputs[-1].shape)).astype(np.float32)
        tensors[STATE] = state
    given = {leaf.key: part for leaf, part in zip(observation.leaves, parts, strict=True)}
    if observation.mask is not None and observation.mask.member is not None:
        given[observation.mask.member] = mask  # type: ignore[assignment]
        mask = None
    whole = observation.leaves[0].key is None
    observations: Any = parts[0] if whole else given
    if not whole and observation.kind == "tuple":
        observations = tuple(given[key] for key in sorted(given, key=lambda key: int(key or 0)))
    return Drawn(tensors, observations, mask, state)


def _member(leaf: Member, count: int, draws: np.random.Generator) -> Array:
    shape = (count, *leaf.shape)
    if leaf.sizes is not None:
        sizes, start = (np.array(part).reshape(leaf.shape) for part in (leaf.sizes, leaf.start))
        choices: Array = np.floor(draws.random(shape) * sizes).astype(np.int64) + start
        return choices
    found: Array = draws.normal(size=shape)
    if leaf.kind == "multibinary" or leaf.declared.kind == "b":
        found = draws.integers(0, 2, shape)
    elif leaf.declared.kind in "iu":
        found = draws.integers(0, 256 if leaf.declared == np.uint8 else WIDEST, shape)
    return found


def _unwhitened(observation: ObservationSpec, module: PolicyModule, values: list[Array]) -> None:
    """Real numbers around the means of a run that whitens, with twice its deviations."""
    whitening, at = module.encoding.whitening, 0
    for place, leaf in enumerate(observation.leaves):
        if leaf.is_image or whitening is None:
            continue
        columns = slice(at, at + leaf.width)
        at += leaf.width
        if leaf.kind == "box" and leaf.declared.kind == "f":
            mean, scale = whitening.mean.numpy()[columns], whitening.scale.numpy()[columns]
            flat = values[place].reshape(-1, leaf.width)
            values[place] = (2.0 * flat / scale + mean).reshape(values[place].shape)


def _cast(values: Array, wanted: Input) -> Array:
    return values.astype(numpy_dtype(wanted.dtype))


def _mask(mask: ActionMask, count: int, draws: np.random.Generator) -> Array:
    """[B, K] int8; each element of an action has a choice."""
    found = draws.random((count, mask.width)) < 0.5
    ends = np.cumsum(mask.sizes)
    for end, size in zip(ends, mask.sizes, strict=True):
        found[np.arange(count), end - 1 - draws.integers(0, size, count)] = True
    return found.astype(np.int8)
