"""Rollouts of the classic-control environments in C, policies and episodes included (rollout.h).

Shapes: T steps, R runs, N environments of one run, S numbers of a state, O of an observation, D
policy outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import Structure, byref, c_double, c_int64, c_void_p
from functools import cache
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from rlcli.kernels.acting import Acting, Policy
from rlcli.kernels.arguments import address
from rlcli.kernels.library import function

Array = npt.NDArray[Any]

NAME_BYTES = 64
"""Room for what an episode's name begins with, and a zero."""
NEVER = 2**63 - 1


class World(NamedTuple):
    """One kind of environment, in the order of classic.h."""

    number: int
    width: int
    """S."""
    shown: int
    """O."""
    family: str
    """Of the policies that act here."""


WORLDS = {
    "CartPole-v1": World(0, 4, 4, "categorical"),
    "Acrobot-v1": World(1, 8, 6, "categorical"),
    "MountainCar-v0": World(2, 2, 2, "categorical"),
    "MountainCarContinuous-v0": World(3, 3, 2, "gaussian"),
    "Pendulum-v1": World(4, 4, 3, "gaussian"),
}
CHOICES = {"CartPole-v1": 2, "Acrobot-v1": 3, "MountainCar-v0": 3}
"""Actions; one number for the others."""


class Rules(NamedTuple):
    """What may differ between environments of a kind."""

    time_limit: int | None
    """Steps after which an episode is cut; None: never."""
    setting: float = 0.0
    """The one number that `env.kwargs` may change."""
    low: float = 0.0
    high: float = 0.0
    """Bounds of a torque or force."""


class Carried(NamedTuple):
    """What goes on from rollout to rollout; changed in place."""

    state: Array
    """[S, R, N] float64."""
    elapsed: Array
    """[R, N] int64: steps since the reset."""
    episodes: Array
    """[R, N] int64: numbers of the current episodes."""
    lengths: Array
    """[R, N] int64: steps of the current episodes."""
    returns: Array
    """[R, N] float64: their rewards, summed."""
    failed: Array
    """[R] bool: runs that show zeros, since a number of theirs was not finite."""
    failing: Array
    """[R, N, O] float32: what a run showed as it failed."""


class Recorded(NamedTuple):
    """A rollout, step by step."""

    observations: Array
    """[T + 1, R, N, O] float32, of which the first row is given."""
    finals: Array
    """[T, R, N, O] float32, written where an episode ended: the observation that the reset replaced."""
    actions: Array
    """[T, R, N] int64, or [T, R, N, 1] float32."""
    outputs: Array
    """[T, R, N, D] float32."""
    rewards: Array
    """[T, R, N] float64."""
    terminated: Array
    """[T, R, N] bool."""
    truncated: Array
    """[T, R, N] bool."""
    ended_returns: Array
    """[T, R, N] float64, written where an episode ended."""
    ended_lengths: Array
    """[T, R, N] int64, written where an episode ended."""

    @classmethod
    def room(cls, kind: str, acting: Acting, steps: int, envs: int) -> Recorded:
        """For a rollout of these policies."""
        shape, shown = (steps, acting.runs, envs), WORLDS[kind].shown
        return cls(
            np.empty((steps + 1, *shape[1:], shown), np.float32),
            np.empty((*shape, shown), np.float32),
            np.empty((*shape, *acting.action_shape), acting.action_dtype),
            np.empty((*shape, acting.outputs), np.float32),
            np.empty(shape, np.float64),
            np.empty(shape, np.bool_),
            np.empty(shape, np.bool_),
            np.empty(shape, np.float64),
            np.empty(shape, np.int64),
        )


class _Struct(Structure):
    """The struct of rollout.h."""

    _fields_: ClassVar = [
        ("policy", Policy),
        *((name, c_int64) for name in ("envs", "first", "last", "world", "time_limit")),
        *((name, c_double) for name in ("setting", "low", "high")),
        ("names", c_void_p),
        ("noise", c_void_p),
        *((name, c_void_p) for name in (*Carried._fields, *Recorded._fields)),
    ]


class Rolling:
    """A rollout in the making: policies, environments and where both are recorded.

    Raises:
        ValueError: an argument does not fit the others.
    """

    def __init__(
        self,
        kind: str,
        rules: Rules,
        acting: Acting,
        seeds: Sequence[int],
        noise: Array,
        carried: Carried,
        recorded: Recorded,
        isa: str | None = None,
    ) -> None:
        """`noise` is [T, R, N, D] float32; `seeds[r]` that of the run."""
        world, (steps, runs, envs) = WORLDS[kind], recorded.rewards.shape
        self._check(kind, acting, seeds, runs)
        self._steps, self._kept = steps, (acting, noise, carried, recorded)
        shape = (steps, runs, envs)
        self._names = b"".join(name_of(seed).ljust(NAME_BYTES, b"\0") for seed in seeds)
        names = np.frombuffer(self._names, np.uint8)
        outcomes = ((kind, shape) for kind in (np.float64, np.bool_, np.bool_, np.float64, np.int64))
        wanted = (
            (np.float64, (world.width, runs, envs)),
            *((np.int64, (runs, envs)),) * 3,
            (np.float64, (runs, envs)),
            (np.bool_, (runs,)),
            (np.float32, (runs, envs, world.shown)),
            (np.float32, (steps + 1, runs, envs, world.shown)),
            (np.float32, (*shape, world.shown)),
            (acting.action_dtype, (*shape, *acting.action_shape)),
            (np.float32, (*shape, acting.outputs)),
            *outcomes,
        )
        given = {**carried._asdict(), **recorded._asdict()}
        places = [
            address(name, array, dtype, shape)
            for (name, array), (dtype, shape) in zip(given.items(), wanted, strict=True)
        ]
        self._struct = _Struct(
            acting.struct,
            *(envs, 0, 0, world.number, NEVER if rules.time_limit is None else rules.time_limit),
            *rules[1:],
            names.ctypes.data,
            address("noise", noise, np.float32, (*shape, acting.outputs)),
            *places,
        )
        self._call = function("rollout", c_void_p, isa=isa)

    def steps(self, first: int, last: int) -> None:
        """Takes the steps first .. last - 1; those before must have been taken."""
        if not 0 <= first <= last <= self._steps:
            raise ValueError(f"no steps {first} to {last} in a rollout of {self._steps}")
        self._struct.first, self._struct.last = first, last
        self._call(byref(self._struct))

    @staticmethod
    def _check(kind: str, acting: Acting, seeds: Sequence[int], runs: int) -> None:
        """Raises `ValueError` unless the policies fit the environment."""
        chosen = acting.family, acting.outputs, len(acting.action_shape)
        world = WORLDS[kind]
        fits = chosen == (world.family, CHOICES.get(kind, 1), int(world.family == "gaussian"))
        if not fits or acting.width != world.shown or not runs == acting.runs == len(seeds):
            raise ValueError(f"these policies are not of {len(seeds)} runs of {kind}")


def name_of(seed: int) -> bytes:
    """What the names of a run's episodes begin with.

    Raises:
        ValueError: it is too long for C.
    """
    name = f"{seed}/episode/".encode()
    if len(name) >= NAME_BYTES:
        raise ValueError(f"the seed {seed} has too many digits")
    return name


def covers(kind: str, seeds: Sequence[int]) -> bool:
    """Whether C steps this kind of environment as numpy does, for runs of these seeds."""
    short = all(len(str(seed)) < NAME_BYTES - len("/episode/") for seed in seeds)
    return kind in WORLDS and short and (kind != "Acrobot-v1" or small_angles_agree())


@cache
def small_angles_agree(isa: str | None = None) -> bool:
    """Whether numpy's sine and cosine of small angles in single precision are those that C has.

    numpy has others on processors without a fused multiply-add.
    """
    angles = np.linspace(-0.1, 0.1, 4096, dtype=np.float32)
    cosines, sines = np.empty_like(angles), np.empty_like(angles)
    call = function("small_angles", c_int64, *(c_void_p,) * 3, isa=isa)
    call(len(angles), angles.ctypes.data, cosines.ctypes.data, sines.ctypes.data)
    return bool((cosines == np.cos(angles)).all() and (sines == np.sin(angles)).all())
