"""MountainCar-v0 batched in numpy over `[R, N]`, bit for bit equal to Gymnasium's.

State: position, velocity.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rlcli.envs.array.base import ArrayEnv, Doubles, Flags, clamp, constant
from rlcli.envs.interface import Array
from rlcli.envs.spec import EnvSpec

THREE = constant(3.0)
SLOPE = constant(-0.0025)
FORCES = np.array([-0.001, 0.0, 0.001])
MIN_POSITION, MAX_POSITION = constant(-1.2), constant(0.6)
MIN_SPEED, MAX_SPEED = constant(-0.07), constant(0.07)
ZERO = constant(0.0)
GOAL = constant(0.5)


class ArrayMountainCar(ArrayEnv):
    """Underpowered car in a valley, pushed to the left, not at all, or to the right (actions 0, 1, 2)."""

    supported_kwargs = frozenset({"goal_velocity", "max_episode_steps"})
    width = 2
    low, high = np.array([-0.6]), np.array([-0.4])

    def __init__(self, spec: EnvSpec, num_runs: int, num_envs: int, kwargs: dict[str, Any]) -> None:
        super().__init__(spec, num_runs, num_envs, kwargs)
        self._goal_velocity = constant(kwargs.get("goal_velocity", 0))

    @property
    def setting(self) -> float:
        """The velocity with which the goal must be reached."""
        return float(self._goal_velocity)

    def _prepare(self) -> None:
        self._change = np.empty_like(self._state[0])

    @staticmethod
    def first_states(drawn: Doubles) -> Doubles:
        """Initial states: at rest at the bottom of the valley."""
        return np.concatenate((drawn, np.zeros_like(drawn)))

    def _advance(self, actions: Array) -> tuple[Doubles, Flags]:
        position, velocity = self._state
        # v <- v + (push - 0.0025 cos 3x)
        np.multiply(position, THREE, self._change)
        np.cos(self._change, self._change)
        np.multiply(self._change, SLOPE, self._change)
        np.add(FORCES[actions], self._change, self._change)
        np.add(velocity, self._change, velocity)
        clamp(velocity, MIN_SPEED, MAX_SPEED)
        np.add(position, velocity, position)
        clamp(position, MIN_POSITION, MAX_POSITION)
        # The wall on the left stops the car.
        stopped = np.equal(position, MIN_POSITION)
        np.logical_and(stopped, np.less(velocity, ZERO), stopped)
        np.copyto(velocity, ZERO, where=stopped)
        terminated = np.greater_equal(position, GOAL)
        np.logical_and(terminated, np.greater_equal(velocity, self._goal_velocity), terminated)
        return np.full(terminated.shape, -1.0), terminated
