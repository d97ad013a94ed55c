"""InvertedPendulum-v5 and InvertedDoublePendulum-v5: poles balanced on a cart."""

from __future__ import annotations

import numpy as np

from rlcli.envs.mujoco.simulations import Doubles, Table
from rlcli.envs.mujoco.task import Flags, Numbers, Singles, Task

LARGEST_ANGLE = 0.2


class InvertedPendulum(Task):
    """InvertedPendulum-v5."""

    def first_state(self, draws: np.random.Generator) -> tuple[Doubles, Doubles]:
        """Uniform noise on positions and velocities."""
        scale = self.arguments["reset_noise_scale"]
        positions = self.body.positions + self.uniform(draws, self.body.model.nq, scale)
        return positions, self.body.velocities + self.uniform(draws, self.body.model.nv, scale)

    def observe(self, table: Table) -> Doubles:
        """Positions and velocities."""
        return table.values

    def outcome(self, table: Table, progress: Doubles, actions: Singles) -> tuple[Numbers, Flags]:
        """1 while the pole stands."""
        fallen = ~np.isfinite(table.values).all(-1) | (np.abs(table.values[:, 1]) > LARGEST_ANGLE)
        return (~fallen).astype(np.float64), fallen


class InvertedDoublePendulum(Task):
    """InvertedDoublePendulum-v5."""

    reads = ("qpos", "qvel", "qfrc_constraint", "site_xpos")

    def first_state(self, draws: np.random.Generator) -> tuple[Doubles, Doubles]:
        """Uniform noise on positions, normal noise on velocities."""
        scale = self.arguments["reset_noise_scale"]
        positions = self.body.positions + self.uniform(draws, self.body.model.nq, scale)
        return positions, self.body.velocities + draws.standard_normal(self.body.model.nv) * scale

    def observe(self, table: Table) -> Doubles:
        """Position of the cart, sines and cosines of the angles, velocities, force that stops the cart."""
        positions, angles = np.split(table.read("qpos"), [1], axis=-1)
        velocities = np.clip(table.read("qvel"), -10, 10)
        force = np.clip(table.read("qfrc_constraint")[:, :1], -10, 10)
        return np.concatenate((positions, np.sin(angles), np.cos(angles), velocities, force), -1)

    def outcome(self, table: Table, progress: Doubles, actions: Singles) -> tuple[Numbers, Flags]:
        """A reward while the tip is above 1 m, less its distance from upright and the speed of the poles."""
        x, _, y = table.read("site_xpos")[:, :3].T
        _, first, second = np.float_power(table.read("qvel"), 2.0).T
        fallen = y <= 1
        distance = 0.01 * np.float_power(x, 2.0) + np.float_power(y - 2, 2.0)
        speed = 1e-3 * first + 5e-3 * second
        return self.arguments["healthy_reward"] * (~fallen).astype(np.int64) - distance - speed, fallen
