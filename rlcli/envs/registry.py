"""Environment registry: the implementation of a config's environment, and its spec before it runs."""

from __future__ import annotations

import copy
import dataclasses
import functools
import json
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
from gymnasium.spaces import Dict

from rlcli.config.schema.env import EnvConfig
from rlcli.config.values import display
from rlcli.config.wrappers import Wrapper
from rlcli.envs import construct
from rlcli.envs.atari.settings import is_atari, preprocessing
from rlcli.envs.backend import ARRAY_ENVS, backend_of
from rlcli.envs.box2d.lander import Lander
from rlcli.envs.gymnasium import GymnasiumVectorEnv
from rlcli.envs.interface import VectorEnv
from rlcli.envs.masks import FROM_INFO, FROM_OBSERVATION, MEMBER
from rlcli.envs.mujoco.choice import task
from rlcli.envs.mujoco.vector import MujocoVectorEnv
from rlcli.envs.probe_clock import status_line
from rlcli.envs.replay_probe import EXACT, EXACT_WHEN_FRESH, FIRST_SEED, Replay, probe
from rlcli.envs.spaces import boundary
from rlcli.envs.spec import ActionSpec, EnvSpec
from rlcli.envs.untrusted import close, contained, explained, interrupts_noticed, surroundings_kept
from rlcli.envs.wrappers import Env, culprit, make_wrapped, statistics_advice
from rlcli.errors import UserError

REPLAYED_EXACTLY = ("gymnasium.envs.classic_control", "gymnasium.envs.toy_text")
"""Modules whose environments were measured to depend on seed and actions alone."""

REPLAYED_WHEN_FRESH = ("gymnasium.envs.box2d.bipedal_walker",)
"""Modules whose physics world outlives the episode, which a probe would not always notice."""

_described: dict[tuple[str, str, str], EnvSpec] = {}


def known_ids() -> list[str]:
    """Every id that `env=` takes without importing a module first."""
    return construct.known_ids()


def validate_id(env_id: str) -> None:
    """Raises `UserError` when there is no such environment (nearest ids) or its package is missing."""
    construct.registration(env_id)


def module_of(env_id: str) -> str:
    """The module an environment comes from: the one its id names, else that of its registered class."""
    module, separator, _ = env_id.rpartition(":")
    if separator:
        return module
    try:
        return construct.module_of(construct.registration(env_id))
    except UserError:
        return ""


def describe(config: EnvConfig, squash: str = "none", replay: Replay | None = None) -> EnvSpec:
    """The environment's spec; makes one instance, checks everything a person may have got wrong, closes it.

    An environment that is in neither table above is also probed for exact replay (a few hundred steps).
    Cached per process for the same id and arguments. `squash` is `network.squash`, `replay` the result of the
    probe where another process has made it.
    """
    backend, reason = backend_of(config)
    own = [config.kwargs, config.wrappers, dataclasses.asdict(config.atari)]
    key = (config.id, json.dumps(own, sort_keys=True, default=repr), config.action_mask)
    if key not in _described:
        _described[key] = _atari(config) if is_atari(config) else _inspected(config, replay)
    spec = dataclasses.replace(_described[key], backend=backend, backend_reason=reason)
    if config.wrappers:
        spec = dataclasses.replace(spec, wrappers=display(config.wrappers))
    if squash != "none":
        spec = dataclasses.replace(spec, action=_squashed(spec, squash))
    if not config.normalize_observation:
        return spec
    # Whitening takes away what observations have in common, so the digits that are left must be there.
    return dataclasses.replace(spec, observation=spec.observation.precisely())


def _squashed(spec: EnvSpec, squash: str) -> ActionSpec:
    try:
        return spec.action.squashes()
    except ValueError as error:
        raise UserError(
            f"network.squash={squash} needs actions that are real numbers between finite bounds; "
            f"{spec.id} has none: {error}.",
            hint="Use network.squash=none.",
        ) from error


def make(
    config: EnvConfig,
    num_runs: int,
    *,
    num_envs: int | None = None,
    device: str | None = None,
    squash: str = "none",
    training: bool = False,
    first: int = 0,
) -> VectorEnv:
    """`num_runs` times `num_envs` (default: the config's) environments; none has been reset yet.

    `backend=torch` is meant for training on `device`; without one the array version stands in. In `training`
    steps say what is learnt of them where that is not what happens. Messages number them from `first`.
    """
    spec = dataclasses.replace(describe(config, squash), first=first)
    count = config.num_envs if num_envs is None else num_envs
    if spec.backend == "torch" and device is not None:
        from rlcli.envs.torch.classic import TORCH_ENVS  # torch is heavy, and listing ids needs none of it

        return TORCH_ENVS[config.id](spec, num_runs, count, copy.deepcopy(config.kwargs), device)
    if spec.backend in ("array", "torch"):
        return ARRAY_ENVS[config.id](spec, num_runs, count, copy.deepcopy(config.kwargs))
    if is_atari(config):
        return _games(config, spec, num_runs, count, training)
    create = functools.partial(make_wrapped, config.id, unwrapped(config), config.wrappers)
    if spec.backend == "mujoco":
        made = create()
        try:
            return MujocoVectorEnv(spec, task(config.id, made, config.kwargs), num_runs, count)
        finally:
            close(config.id, made)
    if spec.backend == "box2d":
        return GymnasiumVectorEnv(spec, lambda: Lander(create(), spec.max_episode_steps), num_runs, count)
    return GymnasiumVectorEnv(spec, create, num_runs, count)


def _games(config: EnvConfig, spec: EnvSpec, num_runs: int, count: int, training: bool) -> VectorEnv:
    """Atari games with their preprocessing."""
    from rlcli.envs.atari.single import SingleGames
    from rlcli.envs.atari.vector import AleVectorEnv

    settings = preprocessing(config)
    if spec.backend == "ale":
        threads = config.atari.threads
        return AleVectorEnv(spec, settings, num_runs, count, threads=threads, training=training)
    create = functools.partial(make_wrapped, config.id, unwrapped(config), config.wrappers)
    return SingleGames(spec, settings, create, num_runs, count, training=training)


def unwrapped(config: EnvConfig) -> Callable[[], Env]:
    """Makes one environment without wrappers; an Atari game with its preprocessing."""
    if not is_atari(config):
        return functools.partial(construct.create, config.id, config.kwargs)
    from rlcli.envs.atari.single import SingleGame

    create = functools.partial(construct.create, config.id, _emulator(config))
    return lambda: SingleGame(create(), preprocessing(config))


def _emulator(config: EnvConfig) -> dict[str, Any]:
    """Arguments of Gymnasium's AtariEnv where all preprocessing is ours."""
    repeat = preprocessing(config).repeat_action_probability
    ours = {"frameskip": 1, "repeat_action_probability": repeat, "max_num_frames_per_episode": None}
    return {**config.kwargs, **ours}


def _atari(config: EnvConfig) -> EnvSpec:
    """Spec of a game: its actions are the emulator's, its observations those of the preprocessing.

    Its episodes repeat themselves: a reset loads the game anew. Wrappers are around its preprocessing.
    """
    settings = preprocessing(config)
    if config.wrappers:
        found = _inspected(config)
        limits = (settings.max_steps, found.max_episode_steps or settings.max_steps)
        return dataclasses.replace(found, max_episode_steps=min(limits))
    with interrupts_noticed(), surroundings_kept():
        env = construct.create(config.id, _emulator(config))
        try:
            spec = _spec(config.id, env, config.action_mask)
        finally:
            close(config.id, env)
    return dataclasses.replace(spec, observation=settings.observation, max_episode_steps=settings.max_steps)


def _inspected(config: EnvConfig, replay: Replay | None = None) -> EnvSpec:
    env_id, wrappers = config.id, config.wrappers
    create = functools.partial(make_wrapped, env_id, unwrapped(config), wrappers)
    checked = f"checking that {env_id} repeats its episodes"
    with interrupts_noticed(), surroundings_kept(), status_line(checked) as line:
        env = create()
        try:
            spec = _spec(env_id, env, config.action_mask)
        except UserError as error:
            wrong = culprit(env_id, env, wrappers)
            if wrong is None:
                raise
            raise UserError(
                *(f"env.wrappers={wrong} changes the spaces: {fault}" for fault in error.faults),
                hint=error.hint,
            ) from error
        finally:
            close(env_id, env)
        if replay is not None:
            return dataclasses.replace(spec, **replay._asdict())
        replay = _replay(create, spec, wrappers, line.tick)
        if wrappers and replay.fresh_each_episode:
            bare = dataclasses.replace(config, wrappers=(), action_mask="none")
            replay = _among_wrappers(_inspected(bare), wrappers)
        return dataclasses.replace(spec, **replay._asdict())


def _among_wrappers(bare: EnvSpec, wrappers: Sequence[Wrapper]) -> Replay:
    """Replay of wrapped environments that repeat in fresh instances alone; `bare` is without wrappers.

    A fresh instance per episode would take from a wrapper what it keeps on purpose, such as statistics.
    """
    if bare.fresh_each_episode:
        return EXACT_WHEN_FRESH
    reason = f"env.wrappers={display(wrappers)} keeps something from one episode to the next"
    return Replay(False, False, reason + statistics_advice(wrappers))


def _spec(env_id: str, env: gymnasium.Env[Any, Any], action_mask: str) -> EnvSpec:
    """Spec of an instance, from its own attributes and, where actions may be masked, its first reset.

    Raises:
        UserError: its spaces are not supported, or it has none, or it does not give the masks asked for.
    """
    try:
        observation, action = boundary(env_id, env.observation_space, env.action_space, action_mask)
        registered = env.spec
    except UserError:
        raise
    except BaseException as error:
        raise UserError(f"{env_id}: its spaces cannot be read: {explained(error)}") from error
    given = None if action.kind in ("box", "multibinary") else _given_mask(env_id, env)
    if action_mask == FROM_INFO != given:
        raise UserError(
            f"{env_id}: env.action_mask=info needs info[{MEMBER!r}], which its reset does not give.",
            hint=f"It gives masks in its observations: env.action_mask={given}" if given else None,
        )
    return EnvSpec(
        id=env_id,
        unused_mask=given if action_mask == "none" else None,
        observation=observation,
        action=action,
        max_episode_steps=None if registered is None else registered.max_episode_steps,
        reward_threshold=None if registered is None else registered.reward_threshold,
    )


def _given_mask(env_id: str, env: gymnasium.Env[Any, Any]) -> str | None:
    """The `env.action_mask` by which an environment's masks would be used; None where none are seen."""
    try:
        _, info = env.reset(seed=FIRST_SEED)
        if MEMBER in info:
            return FROM_INFO
        space = env.observation_space
        return f"{FROM_OBSERVATION}{MEMBER}" if isinstance(space, Dict) and MEMBER in space.spaces else None
    except BaseException as error:
        # Training will fail of it, too, and say so with the episode.
        contained(error, env_id)
        return None


def _replay(
    create: Callable[[], Any], spec: EnvSpec, wrappers: Sequence[Wrapper], tick: Callable[[], None]
) -> Replay:
    module = str(construct.registration(spec.id).entry_point)
    is_fresh = module.startswith(REPLAYED_WHEN_FRESH)
    if not wrappers:
        if is_fresh:
            return EXACT_WHEN_FRESH
        if module.startswith(REPLAYED_EXACTLY):
            return EXACT
    tick()
    found = probe(create, spec, tick)
    return EXACT_WHEN_FRESH if found == EXACT and is_fresh else found
