"""Observations, masks and recurrent states that a person gives, checked, in the format of a run's policy.

Shapes: B observations, M numbers of recurrent state.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rlcli.envs.members import Member
from rlcli.errors import UserError
from rlcli.runs.policy import Trained


class Observed(NamedTuple):
    """What a policy acts on."""

    inputs: npt.NDArray[Any]
    """Raw observations [1, B, ...], with the columns of their masks."""
    memory: npt.NDArray[np.float32] | None
    """Recurrent state [1, B, M]; None: the policy has none."""
    batched: bool
    """Whether a batch was given, rather than one observation."""


class Reader:
    """Reads observations of a run's environment."""

    def __init__(self, trained: Trained, whose: str) -> None:
        self._trained = trained
        self._whose = whose

    def read(self, observations: Any, state: Any, action_mask: Any) -> Observed:
        """One observation or a batch of them, as `LoadedRun.act` takes them.

        Raises:
            UserError: these are not observations or masks of the run's environment, or no state of its
                policy.
        """
        inputs, batched = self._read(observations)
        inputs = self._with_masks(inputs, observations, action_mask, batched)
        return Observed(inputs, self._remembered(state, inputs.shape[1], batched=batched), batched)

    def _remembered(self, given: Any, count: int, *, batched: bool) -> npt.NDArray[np.float32] | None:
        """Recurrent state [1, B, M]; None for a policy without memory."""
        width = self._trained.policy.model.network.memory_width
        name = self._trained.config.network.name
        if not width:
            if given is not None:
                raise UserError(f"The policy of {self._whose} has no memory (network={name}): give no state.")
            return None
        shape = (count, width) if batched else (width,)
        if given is None:
            return np.zeros((1, count, width), np.float32)
        try:
            state = np.asarray(given)
        except ValueError:  # rows of several lengths
            state = np.empty(0, object)
        if state.shape != shape or state.dtype.kind != "f" or not np.isfinite(state).all():
            raise UserError(
                f"The state of network={name} is what `act` gave, {_shape(*shape)} finite numbers here; this "
                f"one has {_shape(*state.shape)} of type {state.dtype}."
            )
        return np.ascontiguousarray(state.reshape(1, count, width), np.float32)

    def _read(self, given: Any) -> tuple[npt.NDArray[Any], bool]:
        """Observations [1, B, ...] in the policy's format, and whether a batch was given."""
        space = self._trained.spec.observation
        parts, batched = self._parts(given)
        if space.members:
            try:
                return space.vectors(parts)[None], batched
            except ValueError as error:
                raise UserError(f"{self._trained.spec.id}: {error}") from error
        [rows] = parts
        if space.n is not None:
            rows = rows - space.start
            if not np.isin(rows, np.arange(space.n)).all():
                low, high = space.start, space.start + space.n - 1
                raise UserError(
                    f"An observation of {self._trained.spec.id} is a whole number from {low} to {high}."
                )
        return np.ascontiguousarray(rows[None], dtype=space.dtype), batched

    def _with_masks(
        self, inputs: npt.NDArray[Any], observations: Any, given: Any, batched: bool
    ) -> npt.NDArray[Any]:
        """Observations [1, B, ...] with the columns of their masks, where the run has masks."""
        mask, env_id = self._trained.spec.observation.mask, self._trained.spec.id
        if (given is not None) != (mask is not None and mask.member is None):
            setting = f"env.action_mask={self._trained.config.env.action_mask}"
            raise UserError(
                f"This run of {env_id} has {setting}: act takes no action_mask."
                if given is not None
                else f"This run of {env_id} has {setting}: act needs action_mask=info['action_mask']."
            )
        if mask is None:
            return inputs
        if mask.member is not None:
            if mask.member not in observations:
                raise UserError(f"An observation of {env_id} has a mask {mask.member!r}; this one has none.")
            given = observations[mask.member]
        try:
            rows = list(given) if batched else [given]
            if len(rows) != inputs.shape[1]:
                raise ValueError(f"there are {len(rows)} masks for {inputs.shape[1]} observations")
            columns = np.array([mask.columns(row) for row in rows], inputs.dtype)
        except (TypeError, ValueError) as error:
            raise UserError(f"{env_id}: {error}.") from error
        return np.concatenate((inputs, columns.reshape(1, len(rows), mask.width)), -1)

    def _parts(self, given: Any) -> tuple[list[npt.NDArray[Any]], bool]:
        """Each member's values [B, *its shape], and whether a batch was given."""
        space = self._trained.spec.observation
        members = space.leaves
        an_observation = f"An observation of {self._trained.spec.id}"
        try:
            parts = [np.asarray(member.of(given)) for member in members]
        except (KeyError, IndexError, TypeError) as error:
            names = ", ".join(str(member.key) for member in members)
            raise UserError(f"{an_observation} is a {space.kind} of {names}; this one is not.") from error
        except ValueError as error:
            raise UserError(f"{an_observation} is an array of numbers; this one is not: {error}.") from error
        batched = parts[0].ndim > len(members[0].shape)
        for member, part in zip(members, parts, strict=True):
            leading = parts[0].shape[:1] if batched else ()
            whose = an_observation if member.key is None else f"{an_observation}: its {member.key!r}"
            if part.shape != (*leading, *member.shape):
                raise UserError(
                    f"{whose} has shape {_shape(*member.shape)}, a batch of n "
                    f"{_shape('n', *member.shape)}; this one has {_shape(*part.shape)}."
                )
            fault = _wrong_numbers(member, part)
            if fault is not None:
                raise UserError(f"{whose} consists of {fault}.")
        return (parts if batched else [part[None] for part in parts]), batched


def _wrong_numbers(member: Member, values: npt.NDArray[Any]) -> str | None:
    """What numbers a member consists of, and the value that is none; None if all are.

    A cast to whole numbers would make the pixels 0 of an image whose values are between 0 and 1.
    """
    if values.dtype.kind not in "fiub":
        return f"numbers; this one is of type {values.dtype}"
    whole = member.kind == "box" and member.declared.kind in "iub"
    with np.errstate(invalid="ignore"):
        sound = values.astype(member.declared) == values if whole else np.isfinite(values)
    if sound.all():
        return None
    what = f"{member.declared} numbers" if whole else "finite numbers"
    return f"{what}; this one has the value {values[~sound].flat[0]}"


def _shape(*sizes: int | str) -> str:
    return f"({', '.join(map(str, sizes))})"
