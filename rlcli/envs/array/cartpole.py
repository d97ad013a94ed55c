"""CartPole-v1 over `[R, N]` in numpy float64, bit for bit Gymnasium's.

Every product and quotient stands in Gymnasium's order: another order would round otherwise. Sine and cosine
are numpy's, as there. Results go into buffers made once, since allocation would cost as much as arithmetic.

Shapes: R runs, N environments of one run. The state is `[order, coordinate, R, N]`: order 0 positions,
1 velocities; coordinate 0 the cart (metres), 1 the pole's angle (radians).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rlcli.envs.interface import Array, Step
from rlcli.envs.spec import EnvSpec


def _constant(value: float) -> npt.NDArray[np.float64]:
    # A ufunc takes an array of rank 0 faster than a Python float.
    return np.array(value, np.float64)


GRAVITY = _constant(9.8)
POLE_MASS = _constant(0.1)
TOTAL_MASS = _constant(0.1 + 1.0)
HALF_LENGTH = _constant(0.5)
POLE_MOMENT = _constant(0.1 * 0.5)
FOUR_THIRDS = _constant(4.0 / 3.0)
TIME_STEP = _constant(0.02)
FORCES = np.array([-10.0, 10.0])
LIMITS = np.array([2.4, 12 * 2 * math.pi / 360]).reshape(2, 1, 1)
NEVER = np.iinfo(np.int64).max


class ArrayCartPole:
    """All runs' cart-poles as one state array; it cannot fail, so `failures` stays empty."""

    honoured = frozenset({"sutton_barto_reward", "max_episode_steps"})
    """The `env.kwargs` this version reproduces."""

    def __init__(self, spec: EnvSpec, num_runs: int, num_envs: int, kwargs: dict[str, Any]) -> None:
        self.spec = spec
        self.num_envs = num_envs
        self.failures: dict[int, Exception] = {}
        self._time_limit = np.array(NEVER if spec.max_episode_steps is None else spec.max_episode_steps)
        self._sutton_barto = bool(kwargs.get("sutton_barto_reward", False))
        self._adopt(np.zeros((2, 2, num_runs, num_envs)), np.zeros((num_runs, num_envs), np.int64))

    def _adopt(self, state: npt.NDArray[np.float64], elapsed: npt.NDArray[np.int64]) -> None:
        """Takes state `[2, 2, R, N]` and elapsed steps `[R, N]`, and makes the views and buffers that fit."""
        self.num_runs = elapsed.shape[0]
        self._state, self._elapsed = state, elapsed
        self._positions, self._velocities = state
        self._angle, self._angular_velocity = state[0, 1], state[1, 1]
        self._as_observed = state.transpose(2, 3, 1, 0)
        self._change = np.empty_like(state)
        self._speed, self._acceleration = self._change
        self._distance = np.empty_like(self._positions)
        self._scratch = np.empty((4, *elapsed.shape))

    def reset(self, seeds: npt.NDArray[np.int64], mask: npt.NDArray[np.bool_]) -> Array:
        """Starts an episode where `mask [R, N]`; returns the current observations of all."""
        for run, index in np.argwhere(mask).tolist():
            draws = np.random.Generator(np.random.PCG64(int(seeds[run, index])))
            state = draws.uniform(low=-0.05, high=0.05, size=(4,))
            self._state[:, :, run, index] = state.reshape(2, 2).T
        self._elapsed[mask] = 0
        return self._observe()

    def step(self, actions: Array) -> Step:
        """Pushes every cart right (1) or left (0) for one time step."""
        self._accelerate(FORCES[actions])
        np.copyto(self._speed, self._velocities)
        np.multiply(self._change, TIME_STEP, self._change)
        np.add(self._state, self._change, self._state)
        self._elapsed += 1
        beyond = np.greater(np.abs(self._positions, self._distance), LIMITS)
        terminated = np.logical_or(beyond[0], beyond[1])
        truncated = np.greater_equal(self._elapsed, self._time_limit)
        if self._sutton_barto:
            rewards = np.where(terminated, -1.0, 0.0)
        else:
            rewards = np.ones(terminated.shape)
        return Step(self._observe(), rewards, terminated, truncated)

    def _accelerate(self, force: npt.NDArray[np.float64]) -> None:
        """Writes both accelerations; equations of Florian (2007), without friction."""
        sine, cosine, push, other = self._scratch
        cart, pole = self._acceleration
        np.sin(self._angle, sine)
        np.cos(self._angle, cosine)
        # push = (force + m l θ'² sin θ) / M
        np.square(self._angular_velocity, push)
        np.multiply(push, POLE_MOMENT, push)
        np.multiply(push, sine, push)
        np.add(force, push, push)
        np.divide(push, TOTAL_MASS, push)
        # θ'' = (g sin θ - cos θ push) / (l (4/3 - m cos² θ / M))
        np.square(cosine, other)
        np.multiply(other, POLE_MASS, other)
        np.divide(other, TOTAL_MASS, other)
        np.subtract(FOUR_THIRDS, other, other)
        np.multiply(other, HALF_LENGTH, other)
        np.multiply(sine, GRAVITY, sine)
        np.multiply(cosine, push, pole)
        np.subtract(sine, pole, pole)
        np.divide(pole, other, pole)
        # x'' = push - m l θ'' cos θ / M
        np.multiply(pole, POLE_MOMENT, cart)
        np.multiply(cart, cosine, cart)
        np.divide(cart, TOTAL_MASS, cart)
        np.subtract(push, cart, cart)

    def _observe(self) -> Array:
        """`[R, N, 4]` float32: cart position, cart velocity, pole angle, pole angular velocity."""
        observed = self._as_observed.astype(np.float32, order="C")
        return observed.reshape(self.num_runs, self.num_envs, 4)

    def select(self, rows: Sequence[int]) -> None:
        """Keeps only these runs, in this order."""
        kept = list(rows)
        self._adopt(self._state[:, :, kept].copy(), self._elapsed[kept].copy())

    def close(self) -> None:
        """Nothing is held."""
