"""Choice of MuJoCo's environments that rlcli steps itself: those that Gymnasium would make as it ships them.

The id is as Gymnasium ships it (`envs/shipped.py`), and every argument is one that the formulas know.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import gymnasium

from rlcli.envs.mujoco.arms import Pusher, Reacher
from rlcli.envs.mujoco.carts import InvertedDoublePendulum, InvertedPendulum
from rlcli.envs.mujoco.planar import HalfCheetah, Hopper, Swimmer, Walker2d
from rlcli.envs.mujoco.spatial import Ant, Humanoid
from rlcli.envs.mujoco.task import Body, Task
from rlcli.envs.shipped import Shipped, difference
from rlcli.text import shown

MODULES = "gymnasium.envs.mujoco"


class Entry(NamedTuple):
    """An environment as Gymnasium registers it, and its formulas."""

    task: type[Task]
    entry_point: str
    max_episode_steps: int
    reward_threshold: float | None

    @property
    def shipped(self) -> Shipped:
        """As `envs/shipped.py` compares it."""
        return Shipped(MODULES, *self[1:])


MUJOCO_ENVS = {
    "HalfCheetah-v5": Entry(HalfCheetah, "half_cheetah_v5:HalfCheetahEnv", 1000, 4800.0),
    "Hopper-v5": Entry(Hopper, "hopper_v5:HopperEnv", 1000, 3800.0),
    "Walker2d-v5": Entry(Walker2d, "walker2d_v5:Walker2dEnv", 1000, None),
    "Swimmer-v5": Entry(Swimmer, "swimmer_v5:SwimmerEnv", 1000, 360.0),
    "Ant-v5": Entry(Ant, "ant_v5:AntEnv", 1000, 6000.0),
    "Humanoid-v5": Entry(Humanoid, "humanoid_v5:HumanoidEnv", 1000, None),
    "InvertedPendulum-v5": Entry(InvertedPendulum, "inverted_pendulum_v5:InvertedPendulumEnv", 1000, 950.0),
    "InvertedDoublePendulum-v5": Entry(
        InvertedDoublePendulum, "inverted_double_pendulum_v5:InvertedDoublePendulumEnv", 1000, 9100.0
    ),
    "Reacher-v5": Entry(Reacher, "reacher_v5:ReacherEnv", 50, -3.75),
    "Pusher-v5": Entry(Pusher, "pusher_v5:PusherEnv", 100, 0.0),
}
"""Environments that have formulas here, by id."""


def _is_number(value: Any) -> bool:
    # Costs are computed in float32, which larger numbers overflow.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e30


def _is_range(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) == 2
        and all(_is_number(bound) or bound in (-math.inf, math.inf) for bound in value)
    )


def _is_switch(value: Any) -> bool:
    return isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


ARGUMENTS: dict[str, Callable[[Any], bool]] = {
    "frame_skip": _is_count,
    "max_episode_steps": _is_count,
    "healthy_reward": _is_number,
    "reset_noise_scale": _is_number,
    **dict.fromkeys(
        (
            "forward_reward_weight", "ctrl_cost_weight", "contact_cost_weight", "reward_dist_weight",
            "reward_near_weight", "reward_control_weight",
        ),
        _is_number,
    ),
    **dict.fromkeys(
        (
            "healthy_state_range", "healthy_z_range", "healthy_angle_range", "contact_force_range",
            "contact_cost_range",
        ),
        _is_range,
    ),
    **dict.fromkeys(
        (
            "terminate_when_unhealthy", "exclude_current_positions_from_observation",
            "include_cinert_in_observation", "include_cvel_in_observation",
            "include_qfrc_actuator_in_observation", "include_cfrc_ext_in_observation",
        ),
        _is_switch,
    ),
}  # fmt: skip
"""The `env.kwargs` that formulas know, as far as an environment takes them, and which values."""


def obstacle(env_id: str, kwargs: Mapping[str, Any]) -> str | None:
    """Why rlcli does not step this environment itself; None: it does."""
    entry = MUJOCO_ENVS.get(env_id)
    if entry is None:
        return f"rlcli has no version of {env_id}"
    changed = difference(env_id, entry.shipped)
    if changed is not None:
        return changed
    unknown = [name for name, value in kwargs.items() if name not in ARGUMENTS or not ARGUMENTS[name](value)]
    if unknown:
        return f"rlcli's version does not take env.kwargs {shown({name: kwargs[name] for name in unknown})}"
    return None


def task(env_id: str, env: gymnasium.Env[Any, Any], kwargs: Mapping[str, Any]) -> Task:
    """The formulas for an instance that Gymnasium made with these arguments."""
    made: Any = env.unwrapped
    body = Body(made.model, made.init_qpos.copy(), made.init_qvel.copy(), made.frame_skip, made.dt)
    parameters = inspect.signature(type(made)).parameters.values()
    defaults = {parameter.name: parameter.default for parameter in parameters}
    return MUJOCO_ENVS[env_id].task(body, defaults | dict(kwargs))
