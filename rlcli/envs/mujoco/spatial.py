"""Ant-v5 and Humanoid-v5: bodies in space, rewarded for their speed along x."""

from __future__ import annotations

import numpy as np

from rlcli.envs.mujoco.planar import HalfCheetah, Upright
from rlcli.envs.mujoco.simulations import Doubles, Table
from rlcli.envs.mujoco.task import Flags, Numbers, Singles, squares

WRENCH = 6
"""Numbers of a force and a torque; velocities of a free body too."""
INERTIA = 10
"""Numbers of a body's inertia, mass included."""
MAIN_BODY = 1


class Ant(Upright):
    """Ant-v5."""

    reads = ("qpos", "qvel", "cfrc_ext", "xpos")
    external_forces = True
    hidden = 2
    first_state = HalfCheetah.first_state

    def observe(self, table: Table) -> Doubles:
        """Positions, velocities, and contact forces on all bodies except the world."""
        parts = [self.shown_positions(table), table.read("qvel")]
        if self.arguments["include_cfrc_ext_in_observation"]:
            parts.append(self._contact_forces(table)[:, WRENCH:])
        return np.concatenate(parts, -1)

    def position(self, table: Table) -> Doubles:
        """The torso's, as of MuJoCo's last time step but one."""
        return table.read("xpos")[:, 3 * MAIN_BODY].copy()

    def forward_reward(self, progress: Doubles) -> Doubles:
        """Reward for speed."""
        reward: Doubles = progress * self.arguments["forward_reward_weight"]
        return reward

    def costs(self, table: Table, actions: Singles) -> Numbers:
        """Of actions and of contacts."""
        contact = self.arguments["contact_cost_weight"] * squares(self._contact_forces(table))
        costs: Numbers = self.control_cost(actions) + contact
        return costs

    def healthy(self, table: Table) -> Flags:
        """Whether the state is finite and the torso at a height in range, bounds included."""
        low, high = self.arguments["healthy_z_range"]
        height = table.read("qpos")[:, 2]
        state = table.values[:, : table.columns["qvel"].stop]
        healthy: Flags = np.isfinite(state).all(-1) & (low <= height) & (height <= high)
        return healthy

    def _contact_forces(self, table: Table) -> Doubles:
        low, high = self.arguments["contact_force_range"]
        return np.clip(table.read("cfrc_ext"), low, high)


class Humanoid(Upright):
    """Humanoid-v5."""

    reads = ("qpos", "qvel", "cinert", "cvel", "qfrc_actuator", "cfrc_ext", "xipos")
    external_forces = True
    hidden = 2

    OPTIONAL = (("cinert", INERTIA), ("cvel", WRENCH), ("qfrc_actuator", WRENCH), ("cfrc_ext", WRENCH))
    """Arrays that an argument may leave out, and how many of their first numbers always are."""

    def observe(self, table: Table) -> Doubles:
        """Positions, velocities, inertias, velocities of bodies, forces of actuators and of contacts."""
        parts = [self.shown_positions(table), table.read("qvel")]
        for name, hidden in self.OPTIONAL:
            if self.arguments[f"include_{name}_in_observation"]:
                parts.append(table.read(name)[:, hidden:])
        return np.concatenate(parts, -1)

    def position(self, table: Table) -> Doubles:
        """The centre of mass."""
        masses = self.body.model.body_mass
        centres = table.read("xipos").reshape(len(table.values), len(masses), 3)
        position: Doubles = (np.einsum("b,kbj->kj", masses, centres) / masses.sum())[:, 0]
        return position

    def costs(self, table: Table, actions: Singles) -> Numbers:
        """Of actions, computed in float64, and of contacts."""
        low, high = self.arguments["contact_cost_range"]
        contact = self.arguments["contact_cost_weight"] * squares(table.read("cfrc_ext"))
        costs: Numbers = self.control_cost(actions.astype(np.float64)) + np.clip(contact, low, high)
        return costs

    def healthy(self, table: Table) -> Flags:
        """Whether the torso is at a height in range."""
        return self.within(table.read("qpos")[:, 2], "healthy_z_range")
