"""State of a run's environments as data, and its restoration to the last bit.

An episode depends on its reset seed and its actions alone, so a checkpoint keeps those, and restoring is
reset and replay. What the environment then shows is compared with what it showed when the checkpoint was
made: another version of a simulator is found out, and its episodes are given up. Shapes: R runs,
N environments of one run, L kept steps (the longest unfinished episode).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rlcli.envs.interface import VectorEnv
from rlcli.envs.spec import EnvSpec
from rlcli.maths.draws import environment_seed

Array = npt.NDArray[Any]
RECENT = 100
"""Episodes that `train/return_100` averages."""


class CollectorState(NamedTuple):
    """The collector of one run between two rollouts."""

    episodes: npt.NDArray[np.int64]
    """[N]: index of the current episode of each environment."""
    lengths: npt.NDArray[np.int64]
    """[N]: steps since its reset."""
    returns: npt.NDArray[np.float64]
    """[N]: raw rewards since its reset, summed."""
    recent: npt.NDArray[np.float64]
    """[up to 100]: returns of the last episodes that ended, oldest first."""
    history: Array
    """[L, N, *action]: the last L raw actions; environment n's episode is the last `lengths[n]` of them."""
    observations: Array
    """[N, *observation]: what each environment showed last."""
    memory: npt.NDArray[np.float32]
    """[N, M]: recurrent state of the policy in each environment; of no width where the network has none."""


class Restored(NamedTuple):
    """Restored environments."""

    states: list[CollectorState]
    observations: Array
    """[R, N, *observation]: to act on next."""
    given_up: Array
    """[R, N]: environments that did not come to show what they had shown; each begins its next episode."""


def episode_seed(seed: int, environment: int, episode: int) -> int:
    """The reset seed of one training episode."""
    return environment_seed(seed, "episode", environment, episode)


def restore(
    env: VectorEnv, seeds: Sequence[int], states: Sequence[CollectorState] | None, memory_width: int = 0
) -> Restored:
    """Restores every environment to its state (None: to its first episode).

    An episode of which too few actions were kept (`env.replay_limit`), or that the environment does not
    repeat, is given up for the next one.
    """
    if states is None:
        found = [_fresh(env, memory_width) for _ in seeds]
        observations = env.reset(_starts(seeds, found), np.ones((len(seeds), env.num_envs), bool))
        return _restored(found, observations, np.zeros((len(seeds), env.num_envs), bool))
    found = [_replayable(state, env.spec.exact_resume) for state in states]
    starts = _starts(seeds, found)
    observations = env.reset(starts, np.ones(starts.shape, bool))
    lost = np.stack([old.episodes != new.episodes for old, new in zip(states, found, strict=True)])
    steps = max(len(state.history) for state in found)
    ended = np.zeros_like(lost)
    if steps:
        actions = np.zeros((steps, *starts.shape, *found[0].history.shape[2:]), found[0].history.dtype)
        for row, state in enumerate(found):
            actions[steps - len(state.history) :, row] = state.history
        begins = steps - np.stack([state.lengths for state in found])
        observations, ended = replay(env, actions, begins, starts, observations)
    pairs = zip(observations, states, strict=True)
    other = np.stack([_differ(now, state.observations) for now, state in pairs])
    broken = ~lost & (ended | other)
    if broken.any():
        found = [_given_up(state, broken[row]) for row, state in enumerate(found)]
        observations = env.reset(_starts(seeds, found), broken)
    return _restored(found, observations, lost | broken)


def _differ(observations: Array, shown: Array) -> npt.NDArray[np.bool_]:
    """Which of one run's environments [N] show otherwise than they did; earlier ones kept fewer digits."""
    differs = np.not_equal(observations.astype(shown.dtype), shown)
    return np.asarray(differs.any(tuple(range(1, differs.ndim))))


def _restored(states: Sequence[CollectorState], observations: Array, given_up: Array) -> Restored:
    shown = [state._replace(observations=observations[row]) for row, state in enumerate(states)]
    return Restored(shown, observations, given_up)


def _starts(seeds: Sequence[int], states: Sequence[CollectorState]) -> npt.NDArray[np.int64]:
    """[R, N]: the reset seeds of the current episodes."""
    return np.array(
        [
            [episode_seed(seed, n, int(episode)) for n, episode in enumerate(state.episodes)]
            for seed, state in zip(seeds, states, strict=True)
        ]
    )


def _fresh(env: VectorEnv, memory_width: int) -> CollectorState:
    n = env.num_envs
    action, observation = env.spec.action, env.spec.observation
    return CollectorState(
        episodes=np.zeros(n, np.int64),
        lengths=np.zeros(n, np.int64),
        returns=np.zeros(n),
        recent=np.zeros(0),
        history=np.zeros((0, n, *action.shape), action.raw_dtype),
        observations=np.zeros((n, *observation.shape), observation.dtype),
        memory=np.zeros((n, memory_width), np.float32),
    )


def _replayable(state: CollectorState, exact: bool) -> CollectorState:
    """Without the episodes that cannot be replayed: some actions are not kept, or nothing repeats itself."""
    if exact:
        return _given_up(state, state.lengths > len(state.history))
    return _given_up(state, state.lengths > 0)._replace(history=state.history[:0])


def _given_up(state: CollectorState, lost: npt.NDArray[np.bool_]) -> CollectorState:
    """The environments `lost` [N] at the start of their next episode."""
    return state._replace(
        episodes=state.episodes + lost,
        lengths=np.where(lost, 0, state.lengths),
        returns=np.where(lost, 0.0, state.returns),
        memory=np.where(lost[:, None], np.float32(0.0), state.memory),
    )


def replay(
    env: VectorEnv, actions: Array, begins: Array, starts: Array, observations: Array
) -> tuple[Array, Array]:
    """Replays `actions` [L, R, N, ...] in all environments, which began at step `begins` [R, N] of them.

    `starts` are the reset seeds [R, N], `observations` those of a first reset of all. An environment that has
    not begun yet plays filler: allowed actions where there are masks.

    Returns the observations then, and which episodes [R, N] ended although they had not when they were
    played: what those show is another episode's.
    """
    steps = len(actions)
    early = np.zeros(begins.shape, bool)
    for t in range(steps):
        beginning = begins == t
        if beginning.any():
            observations = env.reset(starts, beginning)
        step = env.step(_with_filler(env.spec, actions[t], observations, begins > t))
        observations = step.observations
        ended = step.terminated | step.truncated
        early |= ended & (begins <= t)
        if ended.any():
            observations = env.reset(starts, ended)
    if (begins == steps).any():
        observations = env.reset(starts, begins == steps)
    return observations, early


def _with_filler(spec: EnvSpec, actions: Array, observations: Array, idle: Array) -> Array:
    """Actions [R, N, ...], for the environments `idle` [R, N] the first that are allowed."""
    mask = spec.observation.mask
    if mask is None or not idle.any():
        return actions
    allowed = observations[idle][:, -mask.width :] != 0
    filled = actions.copy()
    filled[idle] = mask.first(allowed).reshape(-1, *spec.action.shape)
    return filled
