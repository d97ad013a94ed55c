"""Base class of the tasks: initial states, observations, rewards and ends of one kind of environment.

A task gives Gymnasium's numbers to the last bit, so it repeats Gymnasium's arithmetic: every operation in the
same order and type. Gymnasium computes with one environment, a task with all. Elementwise operations are the
same, and so are sums over a row, which numpy adds in one order. But `x ** 2` of a scalar is C's `pow`, as
`np.float_power` is, and a norm is the square root of a dot product by BLAS, as `np.vecdot` is. Actions are
float32, and so is their cost.

Shapes: K simulations, A actions, O observations.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from rlcli.envs.mujoco.simulations import Doubles, Table

Singles = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]
Numbers = npt.NDArray[Any]


class Body(NamedTuple):
    """What a task is about: a model, its initial state, its time."""

    model: Any
    """MuJoCo's `MjModel`."""
    positions: Doubles
    velocities: Doubles
    frames: int
    """Time steps of MuJoCo in one step of the environment."""
    time_step: float
    """Seconds of one step of the environment."""


class Task(ABC):
    """Formulas of one environment, over K simulations."""

    reads: ClassVar[tuple[str, ...]] = ("qpos", "qvel")
    """Arrays of a simulation that the formulas use."""
    external_forces: ClassVar[bool] = False
    """Whether they use `cfrc_ext`."""

    def __init__(self, body: Body, arguments: Mapping[str, Any]) -> None:
        """`arguments`: all of the environment's constructor, defaults included."""
        self.body = body
        self.arguments = arguments

    @abstractmethod
    def first_state(self, draws: np.random.Generator) -> tuple[Doubles, Doubles]:
        """Positions and velocities at the start of an episode."""

    @abstractmethod
    def observe(self, table: Table) -> Doubles:
        """Observations `[K, O]`."""

    @abstractmethod
    def outcome(self, table: Table, progress: Doubles, actions: Singles) -> tuple[Numbers, Flags]:
        """Rewards and terminations `[K]` of a step, by actions `[K, A]`.

        `progress` is the change of `position`, in metres per second.
        """

    def position(self, table: Table) -> Doubles:
        """`[K]`: the coordinate whose change is rewarded, in metres; by default none."""
        return np.zeros(len(table.values))

    def uniform(self, draws: np.random.Generator, size: int, scale: float) -> Doubles:
        """Uniform noise in -scale .. scale."""
        return draws.uniform(low=-scale, high=scale, size=size)


def never(table: Table) -> Flags:
    """`[K]`: no termination."""
    return np.zeros(len(table.values), np.bool_)


def squares(values: Numbers) -> Numbers:
    """`[K]`: sum of the squares of each row, in the type of the row."""
    total: Numbers = np.square(values).sum(-1)
    return total


def norms(vectors: Doubles) -> Doubles:
    """`[K]`: length of each row."""
    lengths: Doubles = np.sqrt(np.vecdot(vectors, vectors))
    return lengths
