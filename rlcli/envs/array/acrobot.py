"""Acrobot-v1 batched in numpy over `[R, N]`, bit for bit equal to Gymnasium's.

State: cosine and sine of the first angle, of the second; both angular velocities (rad/s); both angles (rad).
The links have length and mass 1, their centres of mass lie in the middle, their moments of inertia are 1.
"""

from __future__ import annotations

import math

import numpy as np

from rlcli.envs.array.base import TWO, ArrayEnv, Doubles, Flags, clamp, constant
from rlcli.envs.interface import Array

ONE = constant(1.0)
QUARTER = constant(0.25)
HALF = constant(0.5)
INERTIA = constant(1.25)
WEIGHTS = np.array([0.5 * 9.8, (0.5 + 1.0) * 9.8]).reshape(2, 1, 1)
TIME_STEP = constant(0.2)
HALF_STEP = constant(0.2 / 2.0)
SIXTH_STEP = constant(0.2 / 6.0)
PI = constant(math.pi)
HALF_TURN = constant(math.pi / 2)
TURN = constant(math.pi - -math.pi)
TORQUES = np.array([-1.0, 0.0, 1.0])
MAX_SPEEDS = np.array([4 * math.pi, 9 * math.pi]).reshape(2, 1, 1)
HEIGHT = constant(1.0)


class ArrayAcrobot(ArrayEnv):
    """Double pendulum: torques -1, 0, 1 (actions 0, 1, 2) at the joint are to swing the tip up."""

    supported_kwargs = frozenset({"max_episode_steps"})
    width = 8
    low, high = np.full(4, -0.1), np.full(4, 0.1)

    def _prepare(self) -> None:
        self._cosines, self._sines = self._state[0:4:2], self._state[1:4:2]
        self._moving = self._state[4:]
        self._speeds, self._angles = self._moving[:2], self._moving[2:]
        runs_and_envs = self._state.shape[1:]
        self._slopes = np.empty((4, 4, *runs_and_envs))
        self._point = np.empty_like(self._moving)
        self._scratch = np.empty((12, *runs_and_envs))

    @staticmethod
    def first_states(drawn: Doubles) -> Doubles:
        """Initial states: hanging almost at rest."""
        # The first state is float32, its cosines and sines too; the first step takes it as float64.
        single = drawn.astype(np.float32)
        angles, speeds = single[:2], single[2:]
        cosines, sines = np.cos(angles), np.sin(angles)
        return np.concatenate(
            (np.stack((cosines, sines), 1).reshape(4, -1), speeds, angles), dtype=np.float64
        )

    def _advance(self, actions: Array) -> tuple[Doubles, Flags]:
        self._integrate(TORQUES[actions])
        self._wrap()
        clamp(self._speeds, -MAX_SPEEDS, MAX_SPEEDS)
        np.cos(self._angles, self._cosines)
        np.sin(self._angles, self._sines)
        # The end is above the goal: -cos θ1 - cos(θ2 + θ1) > 1
        height = np.cos(self._angles[1] + self._angles[0])
        np.subtract(-self._cosines[0], height, height)
        terminated = np.greater(height, HEIGHT)
        return np.where(terminated, 0.0, -1.0), terminated

    def _integrate(self, torque: Doubles) -> None:
        """One step of the fourth-order Runge-Kutta method."""
        first, second, third, fourth = self._slopes
        self._slope(self._moving, torque, first)
        for step, known, sought in (
            (HALF_STEP, first, second),
            (HALF_STEP, second, third),
            (TIME_STEP, third, fourth),
        ):
            np.multiply(known, step, self._point)
            np.add(self._moving, self._point, self._point)
            self._slope(self._point, torque, sought)
        np.multiply(self._slopes[1:3], TWO, self._slopes[1:3])
        np.add(first, second, first)
        np.add(first, third, first)
        np.add(first, fourth, first)
        np.multiply(first, SIXTH_STEP, first)
        np.add(self._moving, first, self._moving)

    def _slope(self, point: Doubles, torque: Doubles, slope: Doubles) -> None:
        """Writes the derivatives `[4, R, N]` of speeds and angles; equations of Sutton and Barto's book."""
        phases, squares, weights, products = (self._scratch[i : i + 3] for i in range(0, 12, 3))
        first_angle, second_angle = point[2:]
        acceleration, other_acceleration = slope[:2]
        np.copyto(slope[2:], point[:2])
        # cos θ2, cos(θ1 + θ2 - π/2), cos(θ1 - π/2)
        np.copyto(phases[0], second_angle)
        np.add(first_angle, second_angle, phases[1])
        np.subtract(phases[1], HALF_TURN, phases[1])
        np.subtract(first_angle, HALF_TURN, phases[2])
        np.cos(phases, phases)
        sine = np.sin(second_angle, weights[2])
        # d1 = 1/4 + (5/4 + cos θ2) + 1 + 1; d2 = 1/4 + cos θ2 / 2 + 1
        d1, d2, coupling = products
        np.add(phases[0], INERTIA, d1)
        np.add(d1, QUARTER, d1)
        np.add(d1, ONE, d1)
        np.add(d1, ONE, d1)
        np.multiply(phases[0], HALF, d2)
        np.add(d2, QUARTER, d2)
        np.add(d2, ONE, d2)
        # Squares of both speeds and of d2; of the speeds, then halved and times sin θ2
        np.copyto(squares[:2], point[:2])
        np.copyto(squares[2], d2)
        np.float_power(squares, TWO, squares)
        centrifugal = squares[:2]
        np.multiply(centrifugal, HALF, centrifugal)
        np.multiply(centrifugal, sine, centrifugal)
        # φ2 = g/2 cos(θ1 + θ2 - π/2)
        # φ1 = -θ2'²/2 sin θ2 - θ2' θ1' sin θ2 + 3/2 g cos(θ1 - π/2) + φ2
        np.multiply(phases[1:], WEIGHTS, weights[:2])
        phi2, phi1 = weights[:2]
        np.multiply(point[1], point[0], coupling)
        np.multiply(coupling, sine, coupling)
        np.add(centrifugal[1], coupling, coupling)
        np.subtract(phi1, coupling, phi1)
        np.add(phi1, phi2, phi1)
        # θ2'' = (torque + d2/d1 φ1 - θ1'²/2 sin θ2 - φ2) / (5/4 - d2²/d1)
        np.divide(d2, d1, other_acceleration)
        np.multiply(other_acceleration, phi1, other_acceleration)
        np.add(torque, other_acceleration, other_acceleration)
        np.subtract(other_acceleration, centrifugal[0], other_acceleration)
        np.subtract(other_acceleration, phi2, other_acceleration)
        np.divide(squares[2], d1, coupling)
        np.subtract(INERTIA, coupling, coupling)
        np.divide(other_acceleration, coupling, other_acceleration)
        # θ1'' = -(d2 θ2'' + φ1) / d1
        np.multiply(d2, other_acceleration, acceleration)
        np.add(acceleration, phi1, acceleration)
        np.negative(acceleration, acceleration)
        np.divide(acceleration, d1, acceleration)

    def _wrap(self) -> None:
        """Wraps the angles to -π .. π, one turn at a time."""
        for beyond, back in ((np.greater, np.subtract), (np.less, np.add)):
            bound = PI if beyond is np.greater else -PI
            while np.count_nonzero(outside := beyond(self._angles, bound)):
                back(self._angles, TURN, out=self._angles, where=outside)
