"""The wrapper `hide_velocities`: an environment without the velocities in its observations.

A policy has to remember what it saw to know them, so it is a test of memory. Which numbers are velocities
depends on the environment; those of the table are known.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium
import numpy as np

from rlcli.errors import UserError


class Velocities(NamedTuple):
    """Where an environment's observations have velocities."""

    width: int
    """Numbers of an observation, as Gymnasium makes the environment without arguments."""
    places: tuple[int, ...]


VELOCITIES = {
    "CartPole": Velocities(4, (1, 3)),
    "MountainCar": Velocities(2, (1,)),
    "MountainCarContinuous": Velocities(2, (1,)),
    "Pendulum": Velocities(3, (2,)),
    "Acrobot": Velocities(6, (4, 5)),
    "LunarLander": Velocities(8, (2, 3, 5)),
    "LunarLanderContinuous": Velocities(8, (2, 3, 5)),
    "BipedalWalker": Velocities(24, (1, 2, 3, 5, 7, 10, 12)),
    "BipedalWalkerHardcore": Velocities(24, (1, 2, 3, 5, 7, 10, 12)),
    "InvertedPendulum": Velocities(4, (2, 3)),
    "HalfCheetah": Velocities(17, tuple(range(8, 17))),
    "Hopper": Velocities(11, tuple(range(5, 11))),
    "Walker2d": Velocities(17, tuple(range(8, 17))),
    "Swimmer": Velocities(8, tuple(range(3, 8))),
}
"""By the id without its version. Source: the observation tables of Gymnasium's documentation."""


class HideVelocities(gymnasium.ObservationWrapper[Any, Any, Any]):
    """Leaves out the velocities; the other numbers keep their order.

    Raises:
        UserError: which numbers are velocities is not known here.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        space = env.observation_space
        env_id = "" if env.spec is None else env.spec.id
        name = env_id.rpartition("/")[2].rpartition("-v")[0]
        if name not in VELOCITIES:
            raise UserError(
                f"knows the velocities of {', '.join(VELOCITIES)}; not of {env_id or 'this environment'}.",
                hint="Write a wrapper of your own: env.wrappers=[module:Class].",
            )
        known = VELOCITIES[name]
        if not isinstance(space, gymnasium.spaces.Box) or space.shape != (known.width,):
            raise UserError(
                f"expects {known.width} numbers of {env_id}; its observations here are {space}.",
                hint="Name it first in env.wrappers, and leave env.kwargs that change observations out.",
            )
        self._kept = np.setdiff1d(np.arange(known.width), known.places)
        self.observation_space = gymnasium.spaces.Box(
            space.low[self._kept], space.high[self._kept], dtype=space.dtype.type
        )

    def observation(self, observation: Any) -> Any:
        """The observation without velocities."""
        return observation[self._kept]
