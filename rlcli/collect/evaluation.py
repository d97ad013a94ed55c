"""Evaluation of a frozen policy on a fixed set of episodes.

Episode j has the seed hash(seed, 'evaluation', j) and is assigned to its environment in advance, so that
short episodes are not over-represented. Shapes: N environments side by side, E episodes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rlcli.collect.memory import forgotten
from rlcli.collect.tape import Tape
from rlcli.envs.interface import VectorEnv
from rlcli.maths.draws import environment_seed, generator
from rlcli.nets.kernel_actor import actor
from rlcli.nets.policy import Model, Snapshot

LANES = 10
"""Environments stepped side by side; the batch shape, and with it rounding, is the same for any E above."""


class Evaluation(NamedTuple):
    """Returns and lengths of E episodes, in their order."""

    returns: npt.NDArray[np.float64]
    lengths: npt.NDArray[np.int64]
    cut: int = 0
    """Episodes that were cut after `max_steps`: their returns are of what was played of them."""

    def figures(self) -> dict[str, float]:
        """The catalogue's `eval/...` figures; the deviation is of the population."""
        cut = {"eval/cut": self.cut} if self.cut else {}
        return {
            "eval/return_mean": float(self.returns.mean()),
            "eval/return_std": float(self.returns.std()),
            "eval/return_min": float(self.returns.min()),
            "eval/return_max": float(self.returns.max()),
            "eval/length_mean": float(self.lengths.mean()),
            "eval/episodes": len(self.returns),
            **cut,
        }


def lanes(episodes: int) -> int:
    """Environments an evaluation of that many episodes wants."""
    return min(episodes, LANES)


def evaluate(
    model: Model,
    snapshot: Snapshot,
    env: VectorEnv,
    seed: int,
    episodes: int,
    *,
    max_steps: int,
    stochastic: bool = False,
    stopped: Callable[[], bool] = lambda: False,
    tape: Tape | None = None,
) -> Evaluation | None:
    """Plays `episodes` episodes with the policy of one run (run axis 1) on `env` of one run.

    An episode that the environment does not end is cut after `max_steps` steps. `tape` keeps actions.
    Returns None when `stopped()` is true before all have ended; raises what a failing environment raised.
    """
    count = env.num_envs
    seeds = np.array([environment_seed(seed, "evaluation", j) for j in range(episodes)])
    episode = np.arange(count)
    returns, lengths = np.zeros(episodes), np.zeros(episodes, np.int64)
    cut = 0
    act = actor(model, snapshot)
    draws = generator(seed, "evaluation_action")
    observations = env.reset(seeds[None, :count], np.ones((1, count), bool))
    width = model.network.memory_width
    memory = np.zeros((1, count, width), np.float32) if width else None
    while not stopped():
        noise = model.family.noise((1, count), draws).numpy() if stochastic else None
        acted = act(observations, noise, memory)
        actions = acted.actions.reshape(1, count, *env.spec.action.shape)
        step = env.step(actions)
        if env.failures:
            raise env.failures[0]
        playing = episode < episodes
        if tape is not None:
            tape.step(episode[playing], env.spec.action.to_env(actions)[0, playing])
        returns[episode[playing]] += step.rewards[0, playing]
        lengths[episode[playing]] += 1
        ended = (step.terminated | step.truncated)[0]
        endless = ~ended[playing] & (lengths[episode[playing]] >= max_steps)
        ended[playing] |= endless
        cut += int(endless.sum())
        observations, memory = step.observations, acted.memory
        if ended.any():
            memory = forgotten(memory, ended[None])
            if tape is not None:
                for number in episode[ended & playing].tolist():
                    tape.end(number, int(seeds[number]), float(returns[number]))
            episode[ended & playing] += count
            if (episode >= episodes).all():
                return Evaluation(returns, lengths, cut)
            # An environment without a further episode plays its last seed again; it does not count.
            observations = env.reset(seeds[None, np.minimum(episode, episodes - 1)], ended[None])
    return None
