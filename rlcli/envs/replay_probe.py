"""Replay probe: whether an unknown environment's episodes depend on reset seed and actions alone.

A checkpoint keeps seeds and actions and restores an episode by replaying them. That is exact only if nothing
else flows into the episode: not what the instance lived through before, not the clock, not another generator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import gymnasium
import numpy as np

from rlcli.envs.boundary import InvalidResult, read_reset, read_step
from rlcli.envs.spec import EnvSpec
from rlcli.envs.untrusted import close, contained
from rlcli.envs.user_code import located

Env = gymnasium.Env[Any, Any]

FIRST_SEED, SECOND_SEED = 20_231, 7_919
LONGEST = 100
"""Maximum steps of an episode of the probe."""


class Replay(NamedTuple):
    """Result of the probe; fields as in `EnvSpec`."""

    fresh_each_episode: bool
    exact_resume: bool
    inexact_reason: str | None


EXACT = Replay(False, True, None)
EXACT_WHEN_FRESH = Replay(True, True, None)


def probe(create: Callable[[], Env], spec: EnvSpec, tick: Callable[[], None] = lambda: None) -> Replay:
    """Plays two episodes, and the second again: in the same instance, and in a fresh one.

    `spec` has the environment's spaces; results are validated against them as in training. `tick` is called
    after each call of the environment.
    """
    try:
        used = create()
        tick()
        try:
            _play(used, spec, FIRST_SEED, tick)
            second = _play(used, spec, SECOND_SEED, tick)
            again = _play(used, spec, SECOND_SEED, tick)
        finally:
            close(spec.id, used)
        fresh = _play_fresh(create, spec, tick)
        if second == again == fresh:
            return EXACT
        if fresh == _play_fresh(create, spec, tick):
            return EXACT_WHEN_FRESH
    except BaseException as error:
        # The environment will fail in training too, which then fails the run.
        contained(error, spec.id)
        met = str(error) if isinstance(error, InvalidResult) else located(error)
        return Replay(False, False, f"the replay probe failed: {met}")
    return Replay(
        False, False, "the same reset seed and actions gave another episode, in a fresh instance too"
    )


def _play_fresh(create: Callable[[], Env], spec: EnvSpec, tick: Callable[[], None]) -> list[bytes]:
    env = create()
    try:
        return _play(env, spec, SECOND_SEED, tick)
    finally:
        close(spec.id, env)


def _play(env: Env, spec: EnvSpec, seed: int, tick: Callable[[], None]) -> list[bytes]:
    """Every bit of an episode under actions drawn from `seed`.

    Raises:
        InvalidResult: a result is not what the spaces say, or anything that the environment raises.
    """
    draws = np.random.default_rng(seed)
    result: Any = env.reset(seed=seed)
    seen = read_reset(spec.observation, result)
    trace = [_bits(result[0])]
    tick()
    for _ in range(LONGEST):
        result = env.step(_draw(spec, seen, draws))
        seen, *ended = read_step(spec.observation, result)
        trace += [_bits(result[0]), np.array([float(part) for part in ended]).tobytes()]
        tick()
        if any(ended[1:]):
            break
    return trace


def _bits(observation: Any) -> bytes:
    """Every bit of an observation, member by member where it has members."""
    if isinstance(observation, Mapping):
        return b"".join(_bits(observation[key]) for key in sorted(observation))
    if isinstance(observation, tuple):
        return b"".join(map(_bits, observation))
    return np.asarray(observation).tobytes()


def _draw(spec: EnvSpec, seen: Any, draws: np.random.Generator) -> Any:
    """An action, one that is allowed where there is a mask in the observation `seen`."""
    action, mask = spec.action, spec.observation.mask
    raw: Any
    if mask is not None:
        raw = mask.drawn(seen[-mask.width :] != 0, draws).reshape(1, *action.shape)
        return action.to_env(raw)[0]
    if action.kind == "box":
        raw = draws.standard_normal((1, *action.shape)).astype(np.float32)
    elif action.n is not None:
        return action.to_env(draws.integers(action.n, size=1))[0]
    else:
        choices = np.array(action.sizes or 2).reshape(action.shape if action.sizes else ())
        raw = draws.integers(choices, size=(1, *action.shape))
    return action.to_env(raw).reshape(action.shape)
