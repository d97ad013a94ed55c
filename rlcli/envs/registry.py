"""Environment registry: the implementation of a config's environment, and its spec before it runs."""

from __future__ import annotations

import copy
import dataclasses
import functools
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium

from rlcli.config.schema import EnvConfig
from rlcli.envs import construct
from rlcli.envs.array.acrobot import ArrayAcrobot
from rlcli.envs.array.base import ArrayEnv
from rlcli.envs.array.cartpole import ArrayCartPole
from rlcli.envs.array.mountain_car import ArrayMountainCar
from rlcli.envs.array.mountain_car_continuous import ArrayMountainCarContinuous
from rlcli.envs.array.pendulum import ArrayPendulum
from rlcli.envs.atari.settings import is_atari, preprocessing, raw_reason
from rlcli.envs.gymnasium import GymnasiumVectorEnv
from rlcli.envs.interface import VectorEnv
from rlcli.envs.mujoco.choice import MUJOCO_ENVS, obstacle, task
from rlcli.envs.mujoco.vector import MujocoVectorEnv
from rlcli.envs.probe_clock import status_line
from rlcli.envs.replay_probe import EXACT, EXACT_WHEN_FRESH, Replay, probe
from rlcli.envs.spaces import boundary
from rlcli.envs.spec import EnvSpec
from rlcli.envs.untrusted import close, contained, interrupts_noticed, surroundings_kept
from rlcli.envs.user_code import located
from rlcli.errors import UserError

ARRAY_ENVS: dict[str, type[ArrayEnv]] = {
    "CartPole-v1": ArrayCartPole,
    "Acrobot-v1": ArrayAcrobot,
    "MountainCar-v0": ArrayMountainCar,
    "MountainCarContinuous-v0": ArrayMountainCarContinuous,
    "Pendulum-v1": ArrayPendulum,
}
"""Environments with a numpy version, by id; each has one in torch too."""

REPLAYED_EXACTLY = ("gymnasium.envs.classic_control", "gymnasium.envs.toy_text")
"""Modules whose environments were measured to depend on seed and actions alone."""

REPLAYED_WHEN_FRESH = ("gymnasium.envs.box2d.bipedal_walker",)
"""Modules whose physics world outlives the episode, which a probe would not always notice."""

ANY_ENVIRONMENT = "env.backend=gymnasium takes any environment; auto chooses another where it can."

_described: dict[tuple[str, str], EnvSpec] = {}


def known_ids() -> list[str]:
    """Every id that `env=` takes without importing a module first."""
    return construct.known_ids()


def validate_id(env_id: str) -> None:
    """Raises `UserError` when there is no such environment (nearest ids) or its package is missing."""
    construct.registration(env_id)


def is_array(config: EnvConfig) -> bool:
    """Whether these are numpy environments, whose kwargs are numbers alone."""
    return _uses_array(config) and all(_is_number(value) for value in config.kwargs.values())


def module_of(env_id: str) -> str:
    """The module an environment comes from: the one its id names, else that of its registered class."""
    module, separator, _ = env_id.rpartition(":")
    if separator:
        return module
    try:
        return construct.module_of(construct.registration(env_id))
    except UserError:
        return ""


def describe(config: EnvConfig) -> EnvSpec:
    """The environment's spec; makes one instance, checks everything a person may have got wrong, closes it.

    An environment that is in neither table above is also probed for exact replay (a few hundred steps).
    Cached per process for the same id and arguments.
    """
    backend, reason = _backend(config)
    key = (
        config.id,
        json.dumps([config.kwargs, dataclasses.asdict(config.atari)], sort_keys=True, default=repr),
    )
    if key not in _described:
        _described[key] = _atari(config) if is_atari(config) else _inspect(config.id, config.kwargs)
    spec = dataclasses.replace(_described[key], backend=backend, backend_reason=reason)
    if not config.normalize_observation:
        return spec
    # Whitening takes away what observations have in common, so the digits that are left must be there.
    return dataclasses.replace(spec, observation=spec.observation.precisely())


def make(
    config: EnvConfig,
    num_runs: int,
    *,
    num_envs: int | None = None,
    device: str | None = None,
    training: bool = False,
) -> VectorEnv:
    """`num_runs` times `num_envs` (default: the config's) environments; none has been reset yet.

    `backend=torch` is meant for training on `device`; without one the array version stands in. In `training`
    steps say what is learnt of them where that is not what happens.
    """
    spec = describe(config)
    count = config.num_envs if num_envs is None else num_envs
    if spec.backend == "torch" and device is not None:
        from rlcli.envs.torch.classic import TORCH_ENVS  # torch is heavy, and listing ids needs none of it

        return TORCH_ENVS[config.id](spec, num_runs, count, copy.deepcopy(config.kwargs), device)
    if spec.backend in ("array", "torch"):
        return ARRAY_ENVS[config.id](spec, num_runs, count, copy.deepcopy(config.kwargs))
    if is_atari(config):
        return _games(config, spec, num_runs, count, training)
    create = functools.partial(construct.create, config.id, config.kwargs)
    if spec.backend == "mujoco":
        made = create()
        try:
            return MujocoVectorEnv(spec, task(config.id, made, config.kwargs), num_runs, count)
        finally:
            close(config.id, made)
    return GymnasiumVectorEnv(spec, create, num_runs, count)


def _backend(config: EnvConfig) -> tuple[str, str | None]:
    """What steps a config's environments, and why Gymnasium does where rlcli has a version of its own.

    Raises:
        UserError: `env.backend` cannot be honoured.
    """
    reason = None
    if config.id in MUJOCO_ENVS and config.backend in ("auto", "mujoco"):
        construct.registration(config.id)  # says which package is missing
        reason = obstacle(config.id, config.kwargs)
        if reason is None:
            return "mujoco", None
    if config.backend == "mujoco":
        raise UserError(
            f"env.backend=mujoco cannot step {config.id}: {reason}."
            if reason is not None
            else f"There is no mujoco version of {config.id}. MuJoCo environments: {', '.join(MUJOCO_ENVS)}.",
            hint=ANY_ENVIRONMENT,
        )
    if is_atari(config):
        return _atari_backend(config)
    if config.backend == "ale":
        raise UserError(f"env.backend=ale: {raw_reason(config)}.", hint=ANY_ENVIRONMENT)
    _check_array(config)
    if _uses_array(config):
        return "torch" if config.backend == "torch" else "array", None
    return "gymnasium", reason


def _atari_backend(config: EnvConfig) -> tuple[str, str | None]:
    """What steps Atari games, and why single environments do where ale-py's vector environment cannot."""
    from rlcli.envs.atari.vector import obstacle as obstacle_of

    if config.backend == "gymnasium":
        return "gymnasium", None
    if config.backend not in ("auto", "ale"):
        raise UserError(f"There is no {config.backend} version of {config.id}.", hint=ANY_ENVIRONMENT)
    reason = obstacle_of(preprocessing(config))
    if reason is None:
        return "ale", None
    if config.backend == "ale":
        raise UserError(f"env.backend=ale cannot step {config.id}: {reason}.", hint=ANY_ENVIRONMENT)
    return "gymnasium", reason


def _games(config: EnvConfig, spec: EnvSpec, num_runs: int, count: int, training: bool) -> VectorEnv:
    """Atari games with their preprocessing."""
    from rlcli.envs.atari.single import SingleGame, SingleGames
    from rlcli.envs.atari.vector import AleVectorEnv

    settings = preprocessing(config)
    if spec.backend == "ale":
        threads = config.atari.threads
        return AleVectorEnv(spec, settings, num_runs, count, threads=threads, training=training)
    create = functools.partial(construct.create, config.id, _emulator(config))
    return SingleGames(
        spec, settings, lambda: SingleGame(create(), settings), num_runs, count, training=training
    )


def _emulator(config: EnvConfig) -> dict[str, Any]:
    """Arguments of Gymnasium's AtariEnv where all preprocessing is ours."""
    repeat = preprocessing(config).repeat_action_probability
    ours = {"frameskip": 1, "repeat_action_probability": repeat, "max_num_frames_per_episode": None}
    return {**config.kwargs, **ours}


def _atari(config: EnvConfig) -> EnvSpec:
    """Spec of a game: its actions are the emulator's, its observations those of the preprocessing.

    Its episodes repeat themselves: a reset loads the game anew.
    """
    settings = preprocessing(config)
    with interrupts_noticed(), surroundings_kept():
        env = construct.create(config.id, _emulator(config))
        try:
            spec = _spec(config.id, env)
        finally:
            close(config.id, env)
    return dataclasses.replace(spec, observation=settings.observation, max_episode_steps=settings.max_steps)


def _uses_array(config: EnvConfig) -> bool:
    if config.backend == "gymnasium" or config.id not in ARRAY_ENVS:
        return False
    supported_kwargs = ARRAY_ENVS[config.id].supported_kwargs
    return all(name in supported_kwargs and _is_number(value) for name, value in config.kwargs.items())


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) < math.inf


def _check_array(config: EnvConfig) -> None:
    """Raises `UserError` when `backend=array` or `torch` is configured but not available."""
    if config.backend not in ("array", "torch") or _uses_array(config):
        return
    if config.id not in ARRAY_ENVS:
        fault = (
            f"There is no {config.backend} version of {config.id}. "
            f"Array environments: {', '.join(ARRAY_ENVS)}."
        )
    else:
        supported_kwargs = sorted(ARRAY_ENVS[config.id].supported_kwargs)
        others = [
            name if name not in supported_kwargs else f"{name}={value!r}"
            for name, value in sorted(config.kwargs.items())
            if name not in supported_kwargs or not _is_number(value)
        ]
        fault = (
            f"The {config.backend} version of {config.id} takes numbers for env.kwargs "
            f"{', '.join(supported_kwargs)}; not {', '.join(others)}."
        )
    raise UserError(fault, hint=ANY_ENVIRONMENT)


def _inspect(env_id: str, kwargs: Mapping[str, Any]) -> EnvSpec:
    create = functools.partial(construct.create, env_id, kwargs)
    checked = f"checking that {env_id} repeats its episodes"
    with interrupts_noticed(), surroundings_kept(), status_line(checked) as line:
        env = create()
        try:
            spec = _spec(env_id, env)
        finally:
            close(env_id, env)
        return dataclasses.replace(spec, **_replay(create, spec, line.tick)._asdict())


def _spec(env_id: str, env: gymnasium.Env[Any, Any]) -> EnvSpec:
    """Spec of an instance, from its own attributes.

    Raises:
        UserError: its spaces are not supported, or it has none.
    """
    try:
        observation, action = boundary(env_id, env.observation_space, env.action_space)
        registered = env.spec
    except UserError:
        raise
    except BaseException as error:
        contained(error, env_id)
        raise UserError(f"{env_id}: its spaces cannot be read: {located(error)}") from error
    return EnvSpec(
        id=env_id,
        observation=observation,
        action=action,
        max_episode_steps=None if registered is None else registered.max_episode_steps,
        reward_threshold=None if registered is None else registered.reward_threshold,
    )


def _replay(create: functools.partial[Any], spec: EnvSpec, tick: Callable[[], None]) -> Replay:
    module = str(construct.registration(spec.id).entry_point)
    if module.startswith(REPLAYED_WHEN_FRESH):
        return EXACT_WHEN_FRESH
    if module.startswith(REPLAYED_EXACTLY):
        return EXACT
    tick()
    return probe(create, spec, tick)
