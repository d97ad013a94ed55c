"""CartPole-v1 batched in numpy over `[R, N]`, bit for bit equal to Gymnasium's.

State: cart position (m), cart velocity (m/s), pole angle (rad), pole angular velocity (rad/s).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rlcli.envs.array.base import ArrayEnv, Doubles, Flags, constant
from rlcli.envs.interface import Array
from rlcli.envs.spec import EnvSpec

GRAVITY = constant(9.8)
POLE_MASS = constant(0.1)
TOTAL_MASS = constant(0.1 + 1.0)
HALF_LENGTH = constant(0.5)
POLE_MOMENT = constant(0.1 * 0.5)
FOUR_THIRDS = constant(4.0 / 3.0)
TIME_STEP = constant(0.02)
FORCES = np.array([-10.0, 10.0])
LIMITS = np.array([2.4, 12 * 2 * math.pi / 360]).reshape(2, 1, 1)


class ArrayCartPole(ArrayEnv):
    """Pole balanced on a cart that is pushed to the left (action 0) or to the right (1)."""

    supported_kwargs = frozenset({"sutton_barto_reward", "max_episode_steps"})
    width = 4
    low, high = np.full(4, -0.05), np.full(4, 0.05)

    def __init__(self, spec: EnvSpec, num_runs: int, num_envs: int, kwargs: dict[str, Any]) -> None:
        super().__init__(spec, num_runs, num_envs, kwargs)
        self._sutton_barto = bool(kwargs.get("sutton_barto_reward", False))

    @property
    def setting(self) -> float:
        """1: the reward of Sutton and Barto; 0: 1 for each step."""
        return float(self._sutton_barto)

    def _prepare(self) -> None:
        self._positions, self._velocities = self._state[0::2], self._state[1::2]
        self._change = np.empty_like(self._state)
        self._speeds = self._change[0::2]
        self._distance = np.empty_like(self._positions)
        self._scratch = np.empty_like(self._state)

    @staticmethod
    def first_states(drawn: Doubles) -> Doubles:
        """Initial states: the draws themselves."""
        return drawn

    def _advance(self, actions: Array) -> tuple[Doubles, Flags]:
        self._accelerate(FORCES[actions])
        np.copyto(self._speeds, self._velocities)
        np.multiply(self._change, TIME_STEP, self._change)
        np.add(self._state, self._change, self._state)
        beyond = np.greater(np.abs(self._positions, self._distance), LIMITS)
        terminated = np.logical_or(beyond[0], beyond[1])
        if self._sutton_barto:
            return np.where(terminated, -1.0, 0.0), terminated
        return np.ones(terminated.shape), terminated

    def _accelerate(self, force: Doubles) -> None:
        """Computes both accelerations; equations of Florian (2007), without friction."""
        sine, cosine, push, other = self._scratch
        cart, pole = self._change[1::2]
        angle, angular_velocity = self._state[2:]
        np.sin(angle, sine)
        np.cos(angle, cosine)
        # push = (force + m l θ'² sin θ) / M
        np.square(angular_velocity, push)
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
