"""From a config to its environments: which implementation, and what is known of it before it runs."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from collections.abc import Mapping
from typing import Any

from rlcli.config.schema import EnvConfig
from rlcli.envs import construct
from rlcli.envs.array.acrobot import ArrayAcrobot
from rlcli.envs.array.base import ArrayEnv
from rlcli.envs.array.cartpole import ArrayCartPole
from rlcli.envs.array.mountain_car import ArrayMountainCar
from rlcli.envs.array.mountain_car_continuous import ArrayMountainCarContinuous
from rlcli.envs.array.pendulum import ArrayPendulum
from rlcli.envs.gymnasium import GymnasiumVectorEnv
from rlcli.envs.interface import VectorEnv
from rlcli.envs.replay_probe import EXACT, EXACT_WHEN_FRESH, Replay, probe
from rlcli.envs.spaces import boundary
from rlcli.envs.spec import ActionSpec, EnvSpec
from rlcli.errors import UserError

ARRAY_ENVS: dict[str, type[ArrayEnv]] = {
    "CartPole-v1": ArrayCartPole,
    "Acrobot-v1": ArrayAcrobot,
    "MountainCar-v0": ArrayMountainCar,
    "MountainCarContinuous-v0": ArrayMountainCarContinuous,
    "Pendulum-v1": ArrayPendulum,
}
"""Ids with an array version; each has one in torch too."""

REPLAYED_EXACTLY = ("gymnasium.envs.classic_control", "gymnasium.envs.toy_text")
"""Environments measured to depend on seed and actions alone."""

REPLAYED_WHEN_FRESH = ("gymnasium.envs.box2d.bipedal_walker",)
"""Environments whose physics world outlives the episode, which a probe would not always see."""

_described: dict[tuple[str, str], EnvSpec] = {}


def known_ids() -> list[str]:
    """Every id `env=` takes without importing a module first."""
    return construct.known_ids()


def validate_id(env_id: str) -> None:
    """Raises `UserError` when there is no such environment (nearest ids) or its package is missing."""
    construct.registration(env_id)


def describe(config: EnvConfig) -> EnvSpec:
    """The environment's spec; makes one instance, checks everything a person may have got wrong, closes it.

    An environment nobody has measured is also probed for exact replay (a few hundred steps). Remembered per
    process for the same id and arguments.
    """
    _check_array(config)
    key = (config.id, json.dumps(config.kwargs, sort_keys=True, default=repr))
    if key not in _described:
        _described[key] = _inspect(config.id, config.kwargs)
    spec = _described[key]
    if not config.normalize_observation:
        return spec
    # Whitening takes away what observations have in common, so the digits that are left must be there.
    return dataclasses.replace(spec, observation=spec.observation.precisely())


def make(
    config: EnvConfig, num_runs: int, *, num_envs: int | None = None, device: str | None = None
) -> VectorEnv:
    """`num_runs` times `num_envs` (default: the config's) environments; none has been reset yet.

    `backend=torch` is meant for training on `device`; without one the array version stands in.
    """
    spec = describe(config)
    count = config.num_envs if num_envs is None else num_envs
    if config.backend == "torch" and device is not None:
        from rlcli.envs.torch.classic import TORCH_ENVS  # torch is heavy, and listing ids needs none of it

        return TORCH_ENVS[config.id](spec, num_runs, count, config.kwargs, device)
    if _uses_array(config):
        return ARRAY_ENVS[config.id](spec, num_runs, count, config.kwargs)
    return GymnasiumVectorEnv(
        spec, functools.partial(construct.create, config.id, config.kwargs), num_runs, count
    )


def _uses_array(config: EnvConfig) -> bool:
    if config.backend == "gymnasium" or config.id not in ARRAY_ENVS:
        return False
    honoured = ARRAY_ENVS[config.id].honoured
    return all(name in honoured and _is_number(value) for name, value in config.kwargs.items())


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) < math.inf


def _check_array(config: EnvConfig) -> None:
    """Raises `UserError` when `backend=array` or `torch` was asked for and cannot be had."""
    if config.backend not in ("array", "torch") or _uses_array(config):
        return
    if config.id not in ARRAY_ENVS:
        fault = (
            f"There is no {config.backend} version of {config.id}. "
            f"Array environments: {', '.join(ARRAY_ENVS)}."
        )
    else:
        honoured = sorted(ARRAY_ENVS[config.id].honoured)
        others = [
            name if name not in honoured else f"{name}={value!r}"
            for name, value in sorted(config.kwargs.items())
            if name not in honoured or not _is_number(value)
        ]
        fault = (
            f"The {config.backend} version of {config.id} takes numbers for env.kwargs "
            f"{', '.join(honoured)}; not {', '.join(others)}."
        )
    raise UserError(
        fault, hint="env.backend=gymnasium takes any environment; auto chooses array where it can."
    )


def _inspect(env_id: str, kwargs: Mapping[str, Any]) -> EnvSpec:
    create = functools.partial(construct.create, env_id, kwargs)
    env = create()
    try:
        observation, action = boundary(env_id, env.observation_space, env.action_space)
        registered = env.spec
    finally:
        env.close()
    replay = _replay(env_id, create, action)
    return EnvSpec(
        id=env_id,
        observation=observation,
        action=action,
        max_episode_steps=None if registered is None else registered.max_episode_steps,
        reward_threshold=None if registered is None else registered.reward_threshold,
        fresh_each_episode=replay.fresh_each_episode,
        exact_resume=replay.exact_resume,
        inexact_reason=replay.inexact_reason,
    )


def _replay(env_id: str, create: functools.partial[Any], action: ActionSpec) -> Replay:
    module = str(construct.registration(env_id).entry_point)
    if module.startswith(REPLAYED_WHEN_FRESH):
        return EXACT_WHEN_FRESH
    if module.startswith(REPLAYED_EXACTLY):
        return EXACT
    return probe(create, action)
