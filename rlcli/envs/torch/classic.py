"""Equations of the five classic-control environments in torch; states are laid out as in the numpy versions.

Shapes: R runs, N environments of one run; everything is [R, N] unless it says otherwise.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rlcli.envs.array.acrobot import ArrayAcrobot
from rlcli.envs.array.cartpole import ArrayCartPole
from rlcli.envs.array.mountain_car import ArrayMountainCar
from rlcli.envs.array.mountain_car_continuous import ArrayMountainCarContinuous
from rlcli.envs.array.pendulum import ArrayPendulum
from rlcli.envs.torch.base import Dynamics, TorchEnv


class TorchCartPole(TorchEnv):
    """As `ArrayCartPole`; equations of Florian (2007), without friction."""

    array_version = ArrayCartPole

    def advance(self, state: Tensor, actions: Tensor) -> Dynamics:
        """One step of Euler's method."""
        position, speed, angle, turning = state
        sine, cosine = angle.sin(), angle.cos()
        push = (20.0 * actions - 10.0 + 0.05 * turning * turning * sine) / 1.1
        turning_faster = (9.8 * sine - cosine * push) / (0.5 * (4 / 3 - 0.1 * cosine * cosine / 1.1))
        faster = push - 0.05 * turning_faster * cosine / 1.1
        moved = state + 0.02 * torch.stack((speed, faster, turning, turning_faster))
        terminated = (moved[0].abs() > 2.4) | (moved[2].abs() > math.radians(12))
        rewards = (
            -terminated.double() if self.kwargs.get("sutton_barto_reward") else torch.ones_like(position)
        )
        return Dynamics(moved, rewards, terminated)


class TorchAcrobot(TorchEnv):
    """As `ArrayAcrobot`."""

    array_version = ArrayAcrobot

    def advance(self, state: Tensor, actions: Tensor) -> Dynamics:
        """One step of the fourth-order Runge-Kutta method."""
        torque = actions - 1.0
        start = state[4:]
        first = self._slope(start, torque)
        second = self._slope(start + 0.1 * first, torque)
        third = self._slope(start + 0.1 * second, torque)
        fourth = self._slope(start + 0.2 * third, torque)
        moved = start + 0.2 / 6 * (first + 2 * second + 2 * third + fourth)
        speeds = torch.stack(
            (moved[0].clamp(-4 * math.pi, 4 * math.pi), moved[1].clamp(-9 * math.pi, 9 * math.pi))
        )
        angles = torch.remainder(moved[2:] + math.pi, 2 * math.pi) - math.pi
        cosines, sines = angles.cos(), angles.sin()
        terminated = -cosines[0] - angles.sum(0).cos() > 1.0
        observed = torch.stack((cosines, sines), 1).flatten(0, 1)
        return Dynamics(torch.cat((observed, speeds, angles)), terminated.double() - 1.0, terminated)

    def _slope(self, point: Tensor, torque: Tensor) -> Tensor:
        """Derivatives [4, R, N] of speeds and angles; equations of Sutton and Barto's book."""
        speed1, speed2, angle1, angle2 = point
        sine, cosine = angle2.sin(), angle2.cos()
        d1, d2 = 3.5 + cosine, 1.25 + 0.5 * cosine
        phi2 = 4.9 * (angle1 + angle2).sin()
        phi1 = 14.7 * angle1.sin() + phi2 - (0.5 * speed2 + speed1) * speed2 * sine
        faster2 = (torque + d2 / d1 * phi1 - 0.5 * speed1 * speed1 * sine - phi2) / (1.25 - d2 * d2 / d1)
        faster1 = -(d2 * faster2 + phi1) / d1
        return torch.stack((faster1, faster2, speed1, speed2))


class TorchMountainCar(TorchEnv):
    """As `ArrayMountainCar`."""

    array_version = ArrayMountainCar

    def advance(self, state: Tensor, actions: Tensor) -> Dynamics:
        """One time step; the wall on the left stops the car."""
        position, velocity = state
        change = 0.001 * (actions.double() - 1.0) - 0.0025 * (3 * position).cos()
        velocity = (velocity + change).clamp(-0.07, 0.07)
        position = (position + velocity).clamp(-1.2, 0.6)
        velocity = torch.where(position == -1.2, velocity.clamp(min=0.0), velocity)
        terminated = (position >= 0.5) & (velocity >= self.kwargs.get("goal_velocity", 0))
        return Dynamics(torch.stack((position, velocity)), torch.full_like(position, -1.0), terminated)


class TorchMountainCarContinuous(TorchEnv):
    """As `ArrayMountainCarContinuous`: in float32, but for a first step."""

    array_version = ArrayMountainCarContinuous

    def advance(self, state: Tensor, actions: Tensor) -> Dynamics:
        """One time step; the wall on the left stops the car."""
        action = actions[..., 0]
        position, velocity, phase = state
        change = 0.0015 * action - (0.0025 * phase.cos()).float()
        slow = (velocity.float() + change).clamp(-0.07, 0.07)
        place = (position + slow).float().clamp(-1.2, 0.6)
        slow = torch.where(place == place.new_tensor(-1.2), slow.clamp(min=0.0), slow)
        terminated = (place >= 0.45) & (slow >= self.kwargs.get("goal_velocity", 0))
        rewards = 100.0 * terminated - 0.1 * action.double().square()
        return Dynamics(torch.stack((place, slow, 3 * place)).double(), rewards, terminated)


class TorchPendulum(TorchEnv):
    """As `ArrayPendulum`."""

    array_version = ArrayPendulum

    def advance(self, state: Tensor, actions: Tensor) -> Dynamics:
        """One time step; the reward is of the state the torque acts on, the torque's shares are float32."""
        torque = actions[..., 0]
        _, sine, speed, angle = state
        off = torch.remainder(angle + math.pi, 2 * math.pi) - math.pi
        rewards = -(off * off + 0.1 * speed * speed + 0.001 * (torque * torque))
        speed = (speed + 0.05 * (1.5 * self.kwargs.get("g", 10.0) * sine + 3 * torque)).clamp(-8.0, 8.0)
        angle = angle + 0.05 * speed
        moved = torch.stack((angle.cos(), angle.sin(), speed, angle))
        return Dynamics(moved, rewards, torch.zeros_like(angle, dtype=torch.bool))


TORCH_ENVS: dict[str, type[TorchEnv]] = {
    "CartPole-v1": TorchCartPole,
    "Acrobot-v1": TorchAcrobot,
    "MountainCar-v0": TorchMountainCar,
    "MountainCarContinuous-v0": TorchMountainCarContinuous,
    "Pendulum-v1": TorchPendulum,
}
"""Ids with a version in torch."""
