"""Conversion of Gymnasium's spaces to specs; unsupported spaces are refused with their names."""

from __future__ import annotations

import dataclasses
import math
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

import numpy as np
from gymnasium import spaces

from rlcli.envs.masks import FROM_OBSERVATION, ActionMask
from rlcli.envs.members import Member
from rlcli.envs.spec import ActionSpec, ObservationKind, ObservationSpec, bytes_of
from rlcli.errors import UserError, unknown

Space = spaces.Space[Any]

FLAT = "Box, Discrete, MultiDiscrete, MultiBinary"
OBSERVATIONS = f"{FLAT}, and Dict or Tuple of these"
ACTIONS = "Box of floats, Discrete, MultiDiscrete, MultiBinary"


class _Refused(Exception):
    """A space is not supported; the message is what to add to its name."""


def boundary(
    env_id: str, observation: Space, action: Space, action_mask: str = "none"
) -> tuple[ObservationSpec, ActionSpec]:
    """Both specs of an environment, or one `UserError` that names every space that is not supported."""
    refused = []
    member = action_mask.removeprefix(FROM_OBSERVATION) if action_mask.startswith(FROM_OBSERVATION) else None
    try:
        observation_spec = _observation(
            observation if member is None else _without(env_id, observation, member)
        )
    except _Refused as reason:
        refused.append(_refusal(env_id, "observation", observation, str(reason), OBSERVATIONS))
    try:
        action_spec = _action(action)
    except _Refused as reason:
        refused.append(_refusal(env_id, "action", action, str(reason), ACTIONS))
    if refused:
        raise UserError(*refused)
    if action_mask == "none":
        return observation_spec, action_spec
    sizes = (action_spec.width,) if action_spec.kind == "discrete" else action_spec.sizes
    if not sizes:
        raise UserError(
            f"{env_id}: env.action_mask={action_mask} is for Discrete and MultiDiscrete actions; its action "
            f"space is {action}. Use env.action_mask=none."
        )
    mask = ActionMask(sizes, member)
    if isinstance(observation, spaces.Dict) and member is not None:
        declared = observation[member]
        if declared.shape is not None and math.prod(declared.shape) != mask.width:
            raise UserError(
                f"{env_id}: env.action_mask={action_mask} is {declared}, of {math.prod(declared.shape)} "
                f"numbers; its action space {action} has {mask.width} choices."
            )
    return observation_spec.with_mask(mask), action_spec


def _observation(space: Space) -> ObservationSpec:
    if isinstance(space, spaces.Discrete):
        return ObservationSpec("discrete", (), np.dtype(np.int64), int(space.n), int(space.start))
    if isinstance(space, spaces.Box):
        ours = np.dtype(np.uint8 if space.dtype == np.uint8 else np.float32)
        precise = None if space.dtype == np.uint8 else _precise([space])
        return ObservationSpec("box", space.shape, ours, declared=np.dtype(space.dtype), precise=precise)
    if isinstance(space, spaces.MultiDiscrete):
        return _vector("multidiscrete", [_member(None, space)])
    if isinstance(space, spaces.MultiBinary):
        return _vector("multibinary", [_member(None, space)])
    if isinstance(space, spaces.Dict):
        members = [_member(key, space[key]) for key in space]
        return _vector("dict", members, _precise(space.spaces.values()))
    if isinstance(space, spaces.Tuple):
        members = [_member(index, member) for index, member in enumerate(space)]
        return _vector("tuple", members, _precise(space.spaces))
    raise _Refused


def _without(env_id: str, space: Space, member: str) -> Space:
    """A Dict without the member that is a mask of actions.

    Raises:
        UserError: there is no such member, or no other.
    """
    if not isinstance(space, spaces.Dict):
        raise UserError(
            f"{env_id}: env.action_mask={FROM_OBSERVATION}{member} names a member of Dict observations; its "
            f"observation space is {space}."
        )
    if member not in space.spaces:
        text = unknown("member of its observations in env.action_mask:", member, list(space.spaces))
        raise UserError(f"{env_id}: {text}")
    kept = [(key, value) for key, value in space.spaces.items() if key != member]
    if not kept:
        raise UserError(f"{env_id}: its observations have no member beside the mask {member!r}.")
    return spaces.Dict(OrderedDict(kept))


def _precise(parts: Iterable[Space]) -> np.dtype[Any] | None:
    """float64 where a box has numbers that float32 cannot hold, None where none has."""
    boxes = [part for part in parts if isinstance(part, spaces.Box)]
    return None if all(np.can_cast(box.dtype, np.float32) for box in boxes) else np.dtype(np.float64)


def _vector(
    kind: ObservationKind, members: list[Member], precise: np.dtype[Any] | None = None
) -> ObservationSpec:
    if not members:
        raise _Refused(": it has no members")
    if any(member.is_image for member in members):
        numbers: np.dtype[Any] = np.dtype(np.float32)
        size = bytes_of(members, numbers)
        whole = ObservationSpec(kind, (size,), np.dtype(np.uint8), members=tuple(members), precise=precise)
        return dataclasses.replace(whole, numbers=numbers)
    width = sum(member.width for member in members)
    return ObservationSpec(kind, (width,), np.dtype(np.float32), members=tuple(members), precise=precise)


def _member(key: str | int | None, space: Space) -> Member:
    if isinstance(space, spaces.Discrete):
        return Member(key, "discrete", (), (int(space.n),), (int(space.start),))
    if isinstance(space, spaces.MultiDiscrete):
        start = tuple(space.start.ravel().tolist())
        return Member(key, "multidiscrete", space.nvec.shape, _sizes(space), start)
    if isinstance(space, spaces.MultiBinary):
        return Member(key, "multibinary", space.shape)
    if isinstance(space, spaces.Box):
        return Member(key, "box", space.shape, declared=np.dtype(space.dtype))
    if isinstance(space, spaces.Dict | spaces.Tuple):
        raise _Refused(f": its member {key!r} is a {type(space).__name__} with members of its own (nested)")
    raise _Refused(f": its member {key!r} is a {type(space).__name__}")


def _action(space: Space) -> ActionSpec:
    if isinstance(space, spaces.Discrete):
        return ActionSpec("discrete", (), np.dtype(np.int64), int(space.n), int(space.start))
    if isinstance(space, spaces.MultiDiscrete):
        return ActionSpec(
            "multidiscrete", space.nvec.shape, space.dtype, start=space.start, sizes=_sizes(space)
        )
    if isinstance(space, spaces.MultiBinary):
        return ActionSpec("multibinary", space.shape, space.dtype)
    if isinstance(space, spaces.Box) and space.dtype.kind == "f":
        return ActionSpec("box", space.shape, space.dtype, low=space.low, high=space.high)
    raise _Refused


def _sizes(space: spaces.MultiDiscrete) -> tuple[int, ...]:
    return tuple(space.nvec.ravel().tolist())


def _refusal(env_id: str, role: str, space: Space, reason: str, supported: str) -> str:
    refused = f"{env_id}: its {role} space {space} is not supported{reason}."
    return f"{refused} Supported {role} spaces: {supported}."
