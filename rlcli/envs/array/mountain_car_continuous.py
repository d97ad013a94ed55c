"""MountainCarContinuous-v0 batched in numpy over `[R, N]`, bit for bit equal to Gymnasium's.

State: position, velocity, and the phase 3x whose cosine is the slope.

Gymnasium keeps position and velocity in float32, and an action in float32 makes a step float32 arithmetic.
Only the position drawn at a reset stays float64 until the first step is over. So all operations here are
float32, but for two that may see that position: the phase, which is kept from where the position was set, and
the position's sum with the velocity, which rounded to float32 is the float32 sum in every other step.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rlcli.envs.array.base import ArrayEnv, Doubles, Flags, clamp, constant
from rlcli.envs.interface import Array
from rlcli.envs.spec import EnvSpec


def _single(value: float) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.array(value, np.float32)


THREE = _single(3.0)
SLOPE = constant(0.0025)
POWER = _single(0.0015)
MIN_POSITION, MAX_POSITION = _single(-1.2), _single(0.6)
MIN_SPEED, MAX_SPEED = _single(-0.07), _single(0.07)
ZERO = _single(0.0)
GOAL = _single(0.45)
PRIZE = constant(100.0)
COST = constant(0.1)


class ArrayMountainCarContinuous(ArrayEnv):
    """Underpowered car in a valley, pushed with a force in -1 .. 1, which costs reward."""

    supported_kwargs = frozenset({"goal_velocity", "max_episode_steps"})
    width = 3
    low, high = np.array([-0.6]), np.array([-0.4])

    def __init__(self, spec: EnvSpec, num_runs: int, num_envs: int, kwargs: dict[str, Any]) -> None:
        super().__init__(spec, num_runs, num_envs, kwargs)
        self._goal_velocity = _single(kwargs.get("goal_velocity", 0))

    @property
    def setting(self) -> float:
        """The velocity with which the goal must be reached."""
        return float(self._goal_velocity)

    def _prepare(self) -> None:
        self._slope = np.empty_like(self._state[0])

    @staticmethod
    def first_states(drawn: Doubles) -> Doubles:
        """Initial states: at rest at the bottom of the valley."""
        return np.concatenate((drawn, np.zeros_like(drawn), 3 * drawn))

    def _advance(self, actions: Array) -> tuple[Doubles, Flags]:
        action = self.spec.action.to_env(actions)[..., 0]
        # v <- v + (power action - 0.0025 cos 3x)
        np.cos(self._state[2], self._slope)
        np.multiply(self._slope, SLOPE, self._slope)
        change = action * POWER
        np.subtract(change, self._slope.astype(np.float32), change)
        velocity = self._state[1].astype(np.float32)
        np.add(velocity, change, velocity)
        clamp(velocity, MIN_SPEED, MAX_SPEED)
        position = np.add(self._state[0], velocity).astype(np.float32)
        clamp(position, MIN_POSITION, MAX_POSITION)
        # The wall on the left stops the car.
        stopped = np.equal(position, MIN_POSITION)
        np.logical_and(stopped, np.less(velocity, ZERO), stopped)
        np.copyto(velocity, ZERO, where=stopped)
        terminated = np.greater_equal(position, GOAL)
        np.logical_and(terminated, np.greater_equal(velocity, self._goal_velocity), terminated)
        self._state[0], self._state[1] = position, velocity
        self._state[2] = np.multiply(position, THREE, position)
        cost = np.square(action, dtype=np.float64)
        np.multiply(cost, COST, cost)
        return np.subtract(PRIZE * terminated, cost, cost), terminated
