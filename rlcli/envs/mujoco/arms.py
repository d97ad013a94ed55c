"""Reacher-v5 and Pusher-v5: arms rewarded for small distances."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from rlcli.envs.mujoco.simulations import Doubles, Table
from rlcli.envs.mujoco.task import Body, Flags, Numbers, Singles, Task, never, norms, squares


class Arm(Task):
    """An arm in a scene of named bodies."""

    reads = ("qpos", "qvel", "xpos")
    scene: ClassVar[tuple[str, ...]]
    """Names of the bodies that matter."""

    def __init__(self, body: Body, arguments: Mapping[str, Any]) -> None:
        super().__init__(body, arguments)
        self._first = {name: 3 * int(body.model.body(name).id) for name in self.scene}

    def centre(self, table: Table, name: str) -> Doubles:
        """`[K, 3]`: where a body of the scene is."""
        first = self._first[name]
        return table.read("xpos")[:, first : first + 3]

    def control_reward(self, actions: Singles) -> Singles:
        """`[K]`: cost of actions, negative."""
        reward: Singles = -squares(actions) * self.arguments["reward_control_weight"]
        return reward


class Reacher(Arm):
    """Reacher-v5."""

    scene = ("fingertip", "target")

    def first_state(self, draws: np.random.Generator) -> tuple[Doubles, Doubles]:
        """Any posture near the first, and a target within reach."""
        positions = self.uniform(draws, self.body.model.nq, 0.1) + self.body.positions
        while True:
            target = self.uniform(draws, 2, 0.2)
            if np.linalg.norm(target) < 0.2:
                break
        positions[-2:] = target
        velocities = self.body.velocities + self.uniform(draws, self.body.model.nv, 0.005)
        velocities[-2:] = 0
        return positions, velocities

    def observe(self, table: Table) -> Doubles:
        """Cosines and sines of the joints, the target, velocities of the joints, the way to the target."""
        positions, velocities = table.read("qpos"), table.read("qvel")[:, :2]
        angles = positions[:, :2]
        parts = (np.cos(angles), np.sin(angles), positions[:, 2:], velocities, self._way(table)[:, :2])
        return np.concatenate(parts, -1)

    def outcome(self, table: Table, progress: Doubles, actions: Singles) -> tuple[Numbers, Flags]:
        """Distance from the target and cost of actions, both negative."""
        distance = -norms(self._way(table)) * self.arguments["reward_dist_weight"]
        return distance + self.control_reward(actions), never(table)

    def _way(self, table: Table) -> Doubles:
        return self.centre(table, "fingertip") - self.centre(table, "target")


class Pusher(Arm):
    """Pusher-v5."""

    scene = ("tips_arm", "object", "goal")

    def first_state(self, draws: np.random.Generator) -> tuple[Doubles, Doubles]:
        """An object somewhere, not too near to its goal."""
        positions = self.body.positions.copy()
        while True:
            place = np.array([draws.uniform(-0.3, 0), draws.uniform(-0.2, 0.2)])
            if np.linalg.norm(place) > 0.17:
                break
        positions[-4:-2] = place
        positions[-2:] = 0
        velocities = self.body.velocities + self.uniform(draws, self.body.model.nv, 0.005)
        velocities[-4:] = 0
        return positions, velocities

    def observe(self, table: Table) -> Doubles:
        """Joints, their velocities, and where tip, object and goal are."""
        bodies = (self.centre(table, name) for name in self.scene)
        return np.concatenate((table.read("qpos")[:, :7], table.read("qvel")[:, :7], *bodies), -1)

    def outcome(self, table: Table, progress: Doubles, actions: Singles) -> tuple[Numbers, Flags]:
        """Distances of the object from goal and tip, and cost of actions, all negative."""
        item = self.centre(table, "object")
        near = -norms(item - self.centre(table, "tips_arm")) * self.arguments["reward_near_weight"]
        distance = -norms(item - self.centre(table, "goal")) * self.arguments["reward_dist_weight"]
        return distance + self.control_reward(actions) + near, never(table)
