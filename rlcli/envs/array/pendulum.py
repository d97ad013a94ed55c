"""Pendulum-v1 batched in numpy over `[R, N]`, bit for bit equal to Gymnasium's.

State: cosine and sine of the angle, angular velocity (rad/s), angle (rad, 0 upright). A torque is float32,
and so are its shares of the acceleration and of the cost.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from rlcli.envs.array.base import TWO, ArrayEnv, Doubles, Flags, clamp, constant
from rlcli.envs.interface import Array
from rlcli.envs.spec import EnvSpec

Singles = npt.NDArray[np.float32]

PI = constant(math.pi)
TURN = constant(2 * math.pi)
TIME_STEP = constant(0.05)
MIN_SPEED, MAX_SPEED = constant(-8.0), constant(8.0)
WEIGHTS = np.array([0.1, 1.0]).reshape(2, 1, 1)
TORQUE_COST = np.array(0.001, np.float32)
LEVER = np.array(3.0, np.float32)
MORE, LESS = constant(1 + 2.0**-30), constant(1 - 2.0**-30)


class ArrayPendulum(ArrayEnv):
    """Pendulum to be swung up and balanced upright by a torque in -2 .. 2."""

    supported_kwargs = frozenset({"g", "max_episode_steps"})
    width = 4
    low, high = np.array([-math.pi, -1.0]), np.array([math.pi, 1.0])

    def __init__(self, spec: EnvSpec, num_runs: int, num_envs: int, kwargs: dict[str, Any]) -> None:
        super().__init__(spec, num_runs, num_envs, kwargs)
        self._gravity = constant(3 * kwargs.get("g", 10.0) / (2 * 1.0))

    @property
    def setting(self) -> float:
        """What sin θ is multiplied by: 3/2 g."""
        return float(self._gravity)

    def _prepare(self) -> None:
        self._squares = np.empty_like(self._state[:2])
        self._change = np.empty_like(self._state[0])

    @staticmethod
    def first_states(drawn: Doubles) -> Doubles:
        """Initial states: any angle, turning slowly."""
        angle, speed = drawn
        return np.stack((np.cos(angle), np.sin(angle), speed, angle))

    def _advance(self, actions: Array) -> tuple[Doubles, Flags]:
        torque = self.spec.action.to_env(actions)[..., 0]
        rewards = self._cost(torque)
        np.negative(rewards, rewards)
        cosine, sine, speed, angle = self._state
        # θ'' = 3/2 g sin θ + 3 torque, for a rod of length and mass 1
        np.multiply(sine, self._gravity, self._change)
        np.add(self._change, torque * LEVER, self._change)
        np.multiply(self._change, TIME_STEP, self._change)
        np.add(speed, self._change, speed)
        clamp(speed, MIN_SPEED, MAX_SPEED)
        np.multiply(speed, TIME_STEP, self._change)
        np.add(angle, self._change, angle)
        np.cos(angle, cosine)
        np.sin(angle, sine)
        return rewards, np.zeros(rewards.shape, np.bool_)

    def _cost(self, torque: Singles) -> Doubles:
        """(θ wrapped to -π .. π)² + θ'²/10 + torque²/1000, of the state the torque acts on."""
        speed_squared, cost = squares = self._squares
        np.add(self._state[3], PI, cost)
        np.remainder(cost, TURN, cost)
        np.subtract(cost, PI, cost)
        np.copyto(speed_squared, self._state[2])
        np.float_power(squares, TWO, squares)
        np.multiply(squares, WEIGHTS, squares)
        total: Doubles = np.add(cost, speed_squared)
        np.add(total, _power_of_two(torque) * TORQUE_COST, total)
        return total


def _power_of_two(values: Singles) -> Singles:
    """`values ** 2` as scalars have it, by C's `powf`, for which numpy has no loop over arrays.

    Its error before rounding is below 2^-30 of the result for |value| <= 2, so where numbers that far apart
    round alike it rounds like them; the others, about one in sixty, are computed one by one.
    """
    exact = np.square(values, dtype=np.float64)
    squares: Singles = np.multiply(exact, MORE).astype(np.float32)
    np.multiply(exact, LESS, exact)
    close = np.not_equal(squares, exact.astype(np.float32))
    if np.count_nonzero(close):
        squares[close] = [value**2 for value in values[close]]
    return squares
