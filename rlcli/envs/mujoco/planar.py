"""HalfCheetah-v5, Hopper-v5, Walker2d-v5, Swimmer-v5: bodies in a plane, rewarded for their speed along x."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from rlcli.envs.mujoco.simulations import Doubles, Table
from rlcli.envs.mujoco.task import Flags, Numbers, Singles, Task, never, squares


class Runner(Task):
    """A body rewarded for its speed along x, less the cost of its actions."""

    hidden = 1
    """Leading positions that observations leave out by default."""

    def first_state(self, draws: np.random.Generator) -> tuple[Doubles, Doubles]:
        """Uniform noise on positions and velocities."""
        scale = self.arguments["reset_noise_scale"]
        positions = self.body.positions + self.uniform(draws, self.body.model.nq, scale)
        return positions, self.body.velocities + self.uniform(draws, self.body.model.nv, scale)

    def observe(self, table: Table) -> Doubles:
        """Positions and velocities."""
        return np.concatenate((self.shown_positions(table), table.read("qvel")), -1)

    def position(self, table: Table) -> Doubles:
        """The first coordinate."""
        return table.read("qpos")[:, 0].copy()

    def outcome(self, table: Table, progress: Doubles, actions: Singles) -> tuple[Numbers, Flags]:
        """Speed, less the cost of actions."""
        return self.arguments["forward_reward_weight"] * progress - self.control_cost(actions), never(table)

    def shown_positions(self, table: Table) -> Doubles:
        """Positions without those that are left out."""
        hidden = self.hidden * self.arguments["exclude_current_positions_from_observation"]
        return table.read("qpos")[:, hidden:]

    def control_cost(self, actions: Numbers) -> Numbers:
        """`[K]`: cost of actions, in their type."""
        cost: Numbers = self.arguments["ctrl_cost_weight"] * squares(actions)
        return cost


class HalfCheetah(Runner):
    """HalfCheetah-v5."""

    def first_state(self, draws: np.random.Generator) -> tuple[Doubles, Doubles]:
        """Uniform noise on positions, normal noise on velocities."""
        scale = self.arguments["reset_noise_scale"]
        positions = self.body.positions + self.uniform(draws, self.body.model.nq, scale)
        return positions, self.body.velocities + scale * draws.standard_normal(self.body.model.nv)


class Swimmer(Runner):
    """Swimmer-v5."""

    hidden = 2


class Upright(Runner):
    """A body that should not fall: rewarded while it is healthy, terminated when it is not."""

    def outcome(self, table: Table, progress: Doubles, actions: Singles) -> tuple[Numbers, Flags]:
        """Speed and health, less the cost of actions."""
        healthy = self.healthy(table)
        forward = self.forward_reward(progress)
        rewards = forward + healthy * self.arguments["healthy_reward"] - self.costs(table, actions)
        return rewards, ~healthy & self.arguments["terminate_when_unhealthy"]

    def forward_reward(self, progress: Doubles) -> Doubles:
        """Reward for speed."""
        reward: Doubles = self.arguments["forward_reward_weight"] * progress
        return reward

    def costs(self, table: Table, actions: Singles) -> Numbers:
        """What is subtracted from the reward."""
        return self.control_cost(actions)

    @abstractmethod
    def healthy(self, table: Table) -> Flags:
        """Whether it has not fallen."""

    def within(self, values: Doubles, name: str) -> Flags:
        """Whether values lie between the bounds of an argument, which are outside."""
        low, high = self.arguments[name]
        inside: Flags = (low < values) & (values < high)
        return inside


class Walker2d(Upright):
    """Walker2d-v5."""

    def observe(self, table: Table) -> Doubles:
        """Positions, and velocities clipped to 10."""
        return np.concatenate((self.shown_positions(table), np.clip(table.read("qvel"), -10, 10)), -1)

    def healthy(self, table: Table) -> Flags:
        """Whether height and angle of the torso are in range."""
        height, angle = table.read("qpos")[:, 1:3].T
        return self.within(height, "healthy_z_range") & self.within(angle, "healthy_angle_range")


class Hopper(Walker2d):
    """Hopper-v5."""

    def healthy(self, table: Table) -> Flags:
        """Whether the other numbers of the state are in range too."""
        # Positions and velocities lie side by side.
        state = self.within(table.values[:, 2:], "healthy_state_range").all(-1)
        return state & super().healthy(table)
