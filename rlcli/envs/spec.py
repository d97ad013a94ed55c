"""Environment specs, independent of any library: observations, actions, episodes.

Shapes: R runs, N environments of one run, A action width, O observation width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rlcli.envs.masks import ActionMask
from rlcli.envs.members import Member

Array = npt.NDArray[Any]
ObservationKind = Literal["box", "discrete", "multidiscrete", "multibinary", "dict", "tuple"]
ActionKind = Literal["box", "discrete", "multidiscrete", "multibinary"]


@dataclass(frozen=True, eq=False)
class ObservationSpec:
    """Observation of one environment, as rlcli stores it.

    box: an array of `shape`, float32 (uint8 stays uint8). discrete: an int64 in 0 .. n - 1, `shape` ().
    All others: a float32 vector, the members side by side in the order of the space (Gymnasium sorts the keys
    of a Dict made of a plain dictionary): boxes and switches as numbers, each choice as a one-hot vector.
    Where members are images: a vector of bytes, the images' pixels and then the bytes of the vector of all
    other members (`numbers`). What is whitened may be float64 instead: `precisely`. With a mask of actions
    the vector ends in the mask's columns, 0 or 1, which are no features; an image is a member then, too.
    """

    kind: ObservationKind
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    n: int | None = None
    start: int = 0
    """The library's lowest discrete value, already subtracted from stored observations."""
    members: tuple[Member, ...] = ()
    """Members the vector consists of; empty for box and discrete."""
    precise: np.dtype[Any] | None = None
    """A dtype that represents the space's numbers, where float32 does not."""
    declared: np.dtype[Any] | None = None
    """The dtype of the library's space, where that is a Box of another dtype than `dtype`."""
    numbers: np.dtype[Any] | None = None
    """The dtype of the members that are no images, where others are; None: `dtype` is that of all."""
    mask: ActionMask | None = None
    """Mask of actions, whose columns come last."""

    def with_mask(self, mask: ActionMask) -> ObservationSpec:
        """The same observations, flattened, as one vector that ends in a mask."""
        kind: ObservationKind = "multidiscrete" if self.kind == "discrete" else self.kind
        numbers: np.dtype[Any] = np.dtype(np.float32)
        return replace(
            self,
            kind=kind,
            shape=(self.width + mask.width,),
            dtype=np.dtype(np.uint8) if self.images else numbers,
            numbers=numbers if self.images else None,
            n=None,
            start=0,
            members=self.leaves,
            mask=mask,
        )

    @cached_property
    def leaves(self) -> tuple[Member, ...]:
        """The flat spaces an observation consists of: its members, or itself."""
        if self.members:
            return self.members
        if self.n is not None:
            return (Member(None, "discrete", (), (self.n,), (self.start,)),)
        return (Member(None, "box", self.shape, declared=self.declared or self.dtype),)

    def precisely(self) -> ObservationSpec:
        """The same spec in a dtype that keeps every digit: 1e6 + 0.01 x rounded to float32 whitens badly."""
        if self.precise is None:
            return self
        if self.numbers is None:
            return replace(self, dtype=self.precise)
        length = bytes_of(self.members, self.precise) + self.mask_width
        return replace(self, numbers=self.precise, shape=(length,))

    @cached_property
    def keys(self) -> list[str | int | None]:
        """Keys of an observation of a Dict or Tuple space, with that of a mask in it."""
        found = [member.key for member in self.members]
        return found if self.mask is None or self.mask.member is None else [*found, self.mask.member]

    @property
    def width(self) -> int:
        """O: length once flattened, or of the one-hot vector; without the columns of a mask."""
        return math.prod(self.shape) - self.mask_width if self.n is None else self.n

    @property
    def mask_width(self) -> int:
        """K: columns of the mask; 0 without one."""
        return 0 if self.mask is None else self.mask.width

    @property
    def is_image(self) -> bool:
        """Whether these are pixels: uint8 with height, width and channels."""
        return self.dtype == np.uint8 and len(self.shape) == 3

    @property
    def images(self) -> tuple[Member, ...]:
        """The images among the leaves, in the order in which a vector of bytes has them."""
        return tuple(leaf for leaf in self.leaves if leaf.is_image)

    @property
    def measured(self) -> tuple[bool, ...]:
        """For each of the O columns whether it is a number of a box, rather than a choice or a switch.

        Pixels have no columns.
        """
        if not self.members:
            return () if self.is_image else (self.kind == "box",) * self.width
        flat = (member for member in self.members if not member.is_image)
        return tuple(member.kind == "box" for member in flat for _ in range(member.width))

    def vectors(self, parts: Sequence[Array]) -> Array:
        """Features [n, O] of every member's values [n, *its shape], as the environment gives them.

        Raises:
            ValueError: a value is none of its choices.
        """
        columns = list(zip(self.members, parts, strict=True))
        if self.numbers is None:
            return np.concatenate([member.vectors(values, self.dtype) for member, values in columns], -1)
        count = len(columns[0][1])
        pixels = [values.reshape(count, -1).astype(np.uint8) for member, values in columns if member.is_image]
        flat = [member.vectors(values, self.numbers) for member, values in columns if not member.is_image]
        joined = [np.concatenate(flat, -1).view(np.uint8)] if flat else []
        return np.concatenate(pixels + joined, -1)

    def real(self, observations: Array) -> Array:
        """The part of observations [..., *shape] that may be not finite: all but pixels and their mask."""
        if self.numbers is None:
            return observations
        start = sum(member.width for member in self.images)
        return np.ascontiguousarray(observations[..., start : self.width]).view(self.numbers)


def bytes_of(members: Sequence[Member], numbers: np.dtype[Any]) -> int:
    """Length of a vector of bytes: one per pixel, and the numbers of this dtype of all other members."""
    return sum(member.width * (1 if member.is_image else numbers.itemsize) for member in members)


@dataclass(frozen=True, eq=False)
class ActionSpec:
    """Action of one environment: what a policy samples, and its conversion to what the environment takes.

    discrete: an int64 in 0 .. n - 1, `shape` (). box: float32 of `shape`, unbounded before conversion.
    multidiscrete: int64 of `shape`, element i in 0 .. sizes[i] - 1. multibinary: int64 of `shape`, 0 or 1.
    """

    kind: ActionKind
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    """The dtype the environment takes."""
    n: int | None = None
    start: Array | int = 0
    """The library's lowest values, added in the conversion."""
    sizes: tuple[int, ...] = ()
    """[A]: choices of each element of a multidiscrete action."""
    low: Array | float = -math.inf
    high: Array | float = math.inf
    squashed: bool = False
    """Whether raw actions become bounded by tanh, rather than clipped."""

    def squashes(self) -> ActionSpec:
        """The same actions, squashed.

        Raises:
            ValueError: not all of them have bounds; the message says which.
        """
        if self.kind != "box":
            raise ValueError(f"its actions are {self.kind}")
        low, high = (np.broadcast_to(bound, self.shape).astype(np.float64) for bound in (self.low, self.high))
        finite = np.isfinite((high - low).astype(self.dtype)) & (high > low)
        if not finite.all():
            where = tuple(np.argwhere(~finite)[0].tolist())
            raise ValueError(
                f"its action{list(where) if where else ''} is between {low[where]:g} and {high[where]:g}"
            )
        return replace(self, squashed=True)

    @property
    def log_scale(self) -> float:
        """Σ log((high - low) / 2), the part of the log-determinant of squashing that no action changes."""
        low, high = (np.broadcast_to(bound, self.shape).astype(np.float64) for bound in (self.low, self.high))
        return float(np.log(0.5 * (high - low)).sum())

    @property
    def width(self) -> int:
        """A: number of choices, or of components."""
        return math.prod(self.shape) if self.n is None else self.n

    @property
    def dimensions(self) -> int:
        """Number of components; a discrete action has one."""
        return math.prod(self.shape)

    @property
    def raw_dtype(self) -> type[np.float32] | type[np.int64]:
        """The dtype of sampled actions."""
        return np.float32 if self.kind == "box" else np.int64

    def to_env(self, actions: Array) -> Array:
        """Raw actions `[R, N, *shape]` as the environment takes them: shifted, squashed or clipped."""
        if self.kind == "discrete" and not self.start:
            return actions.astype(self.dtype, copy=False)
        if self.kind != "box":
            return (actions + self.start).astype(self.dtype, copy=False)
        # Cast first: bounds that float32 cannot hold are then kept to the last bit.
        cast: Array = actions.astype(self.dtype)
        if self.squashed:
            cast = self.low + (self.high - self.low) * (0.5 * (np.tanh(cast) + 1.0))
        np.maximum(cast, self.low, out=cast)
        np.minimum(cast, self.high, out=cast)
        return cast


@dataclass(frozen=True, eq=False)
class EnvSpec:
    """Spec of an environment: observations, actions, episodes, and whether an episode can be replayed."""

    id: str
    observation: ObservationSpec
    action: ActionSpec
    max_episode_steps: int | None
    """Steps after which an episode is truncated; None: never."""
    reward_threshold: float | None
    """Return at which the environment's authors call it solved."""
    fresh_each_episode: bool = False
    """Whether only a new instance per episode makes it depend on its reset seed and actions alone."""
    exact_resume: bool = True
    """Whether reset and replay of the actions restores an episode to the last bit."""
    inexact_reason: str | None = None
    """Why not, when `exact_resume` is false."""
    backend: str = "gymnasium"
    """What steps it: gymnasium, array, mujoco or torch."""
    backend_reason: str | None = None
    """Why Gymnasium steps it with `env.backend=auto`, where rlcli has a version of its own."""
    unused_mask: str | None = None
    """The `env.action_mask` that would use the masks that it gives, where none are used."""
    first: int = 0
    """Number of the first environment, in messages: an actor has a part of a run's."""
    wrappers: str = ""
    """`env.wrappers` as they are typed, for messages; empty without one."""

    @property
    def named(self) -> str:
        """Its id, and the wrappers it is in, for messages."""
        return f"{self.id} in env.wrappers={self.wrappers}" if self.wrappers else self.id
