"""Choice of MuJoCo's environments that rlcli steps itself: those that Gymnasium would make as it ships them.

The one place that decides: the id's registration is Gymnasium's own and unchanged, nobody replaced a method
of its class, this version of Gymnasium was compared bit for bit, and every argument is one that the formulas
know.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import gymnasium
from gymnasium.envs.registration import EnvSpec as Registration
from gymnasium.envs.registration import load_env_creator

from rlcli.envs.mujoco.arms import Pusher, Reacher
from rlcli.envs.mujoco.carts import InvertedDoublePendulum, InvertedPendulum
from rlcli.envs.mujoco.planar import HalfCheetah, Hopper, Swimmer, Walker2d
from rlcli.envs.mujoco.spatial import Ant, Humanoid
from rlcli.envs.mujoco.task import Body, Task
from rlcli.text import shown

COMPARED = ("1.4.0",)
"""Versions of Gymnasium whose environments were compared bit for bit with these, oldest first."""

MODULES = "gymnasium.envs.mujoco"


class Entry(NamedTuple):
    """An environment as Gymnasium registers it, and its formulas."""

    task: type[Task]
    entry_point: str
    max_episode_steps: int
    reward_threshold: float | None


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
    if gymnasium.__version__ not in COMPARED:
        compared = f"rlcli's version was compared with Gymnasium {', '.join(COMPARED)}"
        return f"{compared}, and this is {gymnasium.__version__}"
    if gymnasium.registry.get(env_id) != _registration(env_id, entry):
        return f"{env_id} is registered otherwise than by Gymnasium"
    other = _replaced_method(entry)
    if other is not None:
        return f"{other} is not Gymnasium's own"
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


def _registration(env_id: str, entry: Entry) -> Registration:
    return Registration(
        env_id,
        f"{MODULES}.{entry.entry_point}",
        max_episode_steps=entry.max_episode_steps,
        reward_threshold=entry.reward_threshold,
    )


def _replaced_method(entry: Entry) -> str | None:
    """A method of the environment's class that somebody replaced; None: none, or MuJoCo is missing."""
    try:
        found: Any = load_env_creator(f"{MODULES}.{entry.entry_point}")
    except Exception:
        return None  # making the environment says what is missing
    if f"{found.__module__}:{found.__name__}" != f"{MODULES}.{entry.entry_point}":
        return f"{found.__module__}.{found.__name__}"
    for owner in found.__mro__:
        if not owner.__module__.startswith(f"{MODULES}."):
            continue
        for name, member in vars(owner).items():
            function = member.fget if isinstance(member, property) else member
            if not inspect.isfunction(function):
                continue
            if function.__module__ != owner.__module__ or hasattr(function, "__wrapped__"):
                return f"{owner.__name__}.{name}"
    return None
