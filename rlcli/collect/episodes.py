"""Whole episodes of a policy, recorded with what off-policy evaluation needs; and log-probabilities of them.

Shapes: n episodes, H steps of the longest; what is absent behind an episode's end is 0.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from rlcli.collect.memory import forgotten
from rlcli.envs.interface import VectorEnv
from rlcli.maths.draws import environment_seed, generator
from rlcli.nets.actor import Actor
from rlcli.nets.policy import Model, Snapshot

Array = npt.NDArray[Any]
STREAM = "recorded_episode"


class Episodes(NamedTuple):
    """Recorded episodes, in the order of their seeds."""

    observations: Array
    """[n, H + 1, ...], raw; the one behind an episode's last step is its final observation."""
    actions: Array
    """[n, H, ...], as the policy sampled them, before they are converted for the environment."""
    rewards: npt.NDArray[np.float64]
    """[n, H]."""
    lengths: npt.NDArray[np.int64]
    """[n]: steps of each, at least 1."""
    terminated: npt.NDArray[np.bool_]
    """[n]: whether the environment ended it; the others were cut off by a limit of steps."""

    @property
    def present(self) -> npt.NDArray[np.bool_]:
        """[n, H]: whether the episode has the step."""
        steps = np.arange(self.rewards.shape[1])
        present: npt.NDArray[np.bool_] = steps < self.lengths[:, None]
        return present


def record(
    model: Model, snapshot: Snapshot, env: VectorEnv, seed: int, episodes: int, *, max_steps: int
) -> Episodes:
    """Plays episodes with sampled actions of one run's policy on `env` of one run.

    Episode j has the seed hash(seed, 'recorded_episode', j) and is assigned to its environment in advance;
    one that has not ended is cut after `max_steps` steps. Raises what a failing environment raised.
    """
    count = env.num_envs
    seeds = np.array([environment_seed(seed, STREAM, j) for j in range(episodes)])
    episode = np.arange(count)
    steps: list[list[tuple[Array, Array, float]]] = [[] for _ in range(episodes)]
    last: list[Array] = [np.empty(0)] * episodes
    terminated = np.zeros(episodes, bool)
    act, draws = Actor(model, snapshot), generator(seed, "recorded_action")
    observations = env.reset(seeds[None, :count], np.ones((1, count), bool))
    width = model.network.memory_width
    memory = np.zeros((1, count, width), np.float32) if width else None
    while (episode < episodes).any():
        acted = act(observations, model.family.noise((1, count), draws).numpy(), memory)
        before = observations.copy()
        step = env.step(acted.actions.reshape(1, count, *env.spec.action.shape))
        if env.failures:
            raise env.failures[0]
        ended = (step.terminated | step.truncated)[0]
        for lane in np.flatnonzero(episode < episodes):
            number = episode[lane]
            steps[number].append(
                (before[0, lane], acted.actions[0, lane].copy(), float(step.rewards[0, lane]))
            )
            ended[lane] |= len(steps[number]) >= max_steps
            if ended[lane]:
                last[number] = step.observations[0, lane].copy()
                terminated[number] = step.terminated[0, lane]
        observations, memory = step.observations, acted.memory
        if ended.any():
            memory = forgotten(memory, ended[None])
            episode[ended & (episode < episodes)] += count
            if (episode < episodes).any():
                observations = env.reset(seeds[None, np.minimum(episode, episodes - 1)], ended[None])
    return _padded(steps, last, terminated)


def log_probs(model: Model, snapshot: Snapshot, episodes: Episodes) -> npt.NDArray[np.float64]:
    """log π(a_t|s_t) of the recorded actions under one run's policy, [n, H]; 0 where absent.

    The policy goes through each episode step by step, so that its memory, if it has one, is its own.
    """
    count, horizon = episodes.rewards.shape
    width = model.network.memory_width
    memory = torch.zeros(1, count, width) if width else None
    found = np.zeros((count, horizon))
    with torch.inference_mode():
        for time in range(horizon):
            inputs = model.encode(
                snapshot, torch.from_numpy(np.ascontiguousarray(episodes.observations[None, :, time]))
            )
            outputs, free, memory = model.step(snapshot.parameters, inputs, memory)
            policy = model.family.distribution(outputs.double(), free.double())
            actions = torch.from_numpy(np.ascontiguousarray(episodes.actions[None, :, time]))
            found[:, time] = policy.log_prob(actions)[0].numpy()
    return np.where(episodes.present, found, 0.0)


def _padded(
    steps: list[list[tuple[Array, Array, float]]], last: list[Array], terminated: npt.NDArray[np.bool_]
) -> Episodes:
    lengths = np.array([len(one) for one in steps])
    count, horizon = len(steps), int(lengths.max())
    first_observation, first_action, _ = steps[0][0]
    observations = np.zeros((count, horizon + 1, *first_observation.shape), first_observation.dtype)
    actions = np.zeros((count, horizon, *first_action.shape), first_action.dtype)
    rewards = np.zeros((count, horizon))
    for number, one in enumerate(steps):
        observations[number, : len(one)] = [observation for observation, _, _ in one]
        observations[number, len(one)] = last[number]
        actions[number, : len(one)] = [action for _, action, _ in one]
        rewards[number, : len(one)] = [reward for _, _, reward in one]
    return Episodes(observations, actions, rewards, lengths, terminated)
