"""Where each environment of a run stands, as data: enough to put it there again, to the last bit.

An episode depends on its reset seed and its actions alone, so a checkpoint keeps those, and restoring is
reset and replay. Shapes: N environments, L kept steps (the longest unfinished episode).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rlcli.envs.interface import VectorEnv
from rlcli.errors import StorageError
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


def episode_seed(seed: int, environment: int, episode: int) -> int:
    """The reset seed of one training episode."""
    return environment_seed(seed, "episode", environment, episode)


def restore(
    env: VectorEnv, seeds: Sequence[int], states: Sequence[CollectorState] | None
) -> tuple[list[CollectorState], Array]:
    """Puts every environment where its state says (None: at its first episode); also its observations.

    An episode of which too few actions were kept (`env.replay_limit`) is given up for the next one.
    """
    found = [_fresh(env) for _ in seeds] if states is None else [_replayable(state) for state in states]
    episodes = np.stack([state.episodes for state in found])
    starts = np.array(
        [
            [episode_seed(seed, n, int(episode)) for n, episode in enumerate(row)]
            for seed, row in zip(seeds, episodes, strict=True)
        ]
    )
    observations = env.reset(starts, np.ones_like(starts, dtype=bool))
    steps = max(len(state.history) for state in found)
    if steps:
        observations = _replay(env, found, starts, steps)
    return found, observations


def _fresh(env: VectorEnv) -> CollectorState:
    n = env.num_envs
    action = env.spec.action
    return CollectorState(
        episodes=np.zeros(n, np.int64),
        lengths=np.zeros(n, np.int64),
        returns=np.zeros(n),
        recent=np.zeros(0),
        history=np.zeros((0, n, *action.shape), action.raw_dtype),
    )


def _replayable(state: CollectorState) -> CollectorState:
    lost = state.lengths > len(state.history)
    return state._replace(
        episodes=state.episodes + lost,
        lengths=np.where(lost, 0, state.lengths),
        returns=np.where(lost, 0.0, state.returns),
    )


def _replay(env: VectorEnv, states: Sequence[CollectorState], starts: Array, steps: int) -> Array:
    """Replays all environments so that they end together; one that has not begun yet plays filler."""
    first = states[0].history
    actions = np.zeros((steps, len(states), *first.shape[1:]), first.dtype)
    for row, state in enumerate(states):
        actions[steps - len(state.history) :, row] = state.history
    begins = steps - np.stack([state.lengths for state in states])
    observations = None
    for t in range(steps):
        beginning = begins == t
        if beginning.any():
            env.reset(starts, beginning)
        step = env.step(actions[t])
        observations = step.observations
        ended = step.terminated | step.truncated
        if (ended & (begins <= t)).any() or env.failures:
            raise StorageError("The environment did not repeat its episode: it cannot be restored exactly.")
        if ended.any():
            observations = env.reset(starts, ended)
    if (begins == steps).any():
        observations = env.reset(starts, begins == steps)
    assert observations is not None
    return observations
