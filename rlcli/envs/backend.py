"""What steps a config's environments: arrays, torch, MuJoCo, ale-py or Gymnasium, and why."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from rlcli.config.schema.env import EnvConfig
from rlcli.config.values import display
from rlcli.envs import construct
from rlcli.envs.array.acrobot import ArrayAcrobot
from rlcli.envs.array.base import ArrayEnv
from rlcli.envs.array.cartpole import ArrayCartPole
from rlcli.envs.array.mountain_car import ArrayMountainCar
from rlcli.envs.array.mountain_car_continuous import ArrayMountainCarContinuous
from rlcli.envs.array.pendulum import ArrayPendulum
from rlcli.envs.atari.settings import is_atari, preprocessing, raw_reason
from rlcli.envs.box2d.choice import BOX2D_ENVS
from rlcli.envs.box2d.choice import obstacle as box2d_obstacle
from rlcli.envs.mujoco.choice import MUJOCO_ENVS
from rlcli.envs.mujoco.choice import obstacle as mujoco_obstacle
from rlcli.errors import UserError

ARRAY_ENVS: dict[str, type[ArrayEnv]] = {
    "CartPole-v1": ArrayCartPole,
    "Acrobot-v1": ArrayAcrobot,
    "MountainCar-v0": ArrayMountainCar,
    "MountainCarContinuous-v0": ArrayMountainCarContinuous,
    "Pendulum-v1": ArrayPendulum,
}
"""Environments with a numpy version, by id; each has one in torch too."""

STEPPED: dict[str, tuple[str, Mapping[str, Any], Callable[[str, Mapping[str, Any]], str | None]]] = {
    "mujoco": ("MuJoCo", MUJOCO_ENVS, mujoco_obstacle),
    "box2d": ("Box2D", BOX2D_ENVS, box2d_obstacle),
}
"""Backends that step an engine's environments without Gymnasium's code: the engine, its environments by id,
and why one of them with these arguments is Gymnasium's."""

ANY_ENVIRONMENT = "env.backend=gymnasium takes any environment; auto chooses another where it can."


def is_array(config: EnvConfig) -> bool:
    """Whether these are numpy environments, whose kwargs are numbers alone."""
    return _uses_array(config) and all(_is_number(value) for value in config.kwargs.values())


def backend_of(config: EnvConfig) -> tuple[str, str | None]:
    """What steps a config's environments, and why Gymnasium does where rlcli has a version of its own.

    Raises:
        UserError: `env.backend` cannot be honoured.
    """
    if config.wrappers:
        return "gymnasium", _wrapped_reason(config)
    reason = None
    for backend, (engine, known, obstacle) in STEPPED.items():
        if config.backend not in ("auto", backend):
            continue
        if config.id in known:
            construct.registration(config.id)  # says which package is missing
            reason = obstacle(config.id, config.kwargs)
            if reason is None:
                return backend, None
        if config.backend == backend:
            raise UserError(
                f"env.backend={backend} cannot step {config.id}: {reason}."
                if reason is not None
                else f"There is no {backend} version of {config.id}. {engine} environments: "
                f"{', '.join(known)}.",
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


def _wrapped_reason(config: EnvConfig) -> str | None:
    """Why Gymnasium steps a wrapped environment that rlcli has a version of; None where it has none.

    Raises:
        UserError: `env.backend` is another.
    """
    shown = f"env.wrappers={display(config.wrappers)}"
    if config.backend not in ("auto", "gymnasium"):
        raise UserError(
            f"env.backend={config.backend} cannot step {config.id} with {shown}: wrappers are around "
            "Gymnasium's environment.",
            hint="Leave env.backend out, or set env.backend=gymnasium.",
        )
    stepped = any(config.id in known for _, known, _ in STEPPED.values())
    has_own = stepped or config.id in ARRAY_ENVS or is_atari(config)
    return f"{shown} wraps its environment" if has_own and config.backend == "auto" else None


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


def _uses_array(config: EnvConfig) -> bool:
    if config.wrappers or config.backend == "gymnasium" or config.id not in ARRAY_ENVS:
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
