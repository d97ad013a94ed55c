"""Recurrent memory on its way through rollouts: carried from step to step, forgotten where episodes end."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from rlcli.collect.collector import Collector
from rlcli.envs import registry
from rlcli.nets.network import Heads
from tests.learner.setting import Stage, small, stage

LIMIT = 5


class Counting:
    """A network whose memory counts the steps of an episode, and whose policy ignores it."""

    memory_width = 1

    def __init__(self, network) -> None:
        self.network = network

    def __getattr__(self, name):
        return getattr(self.network, name)

    def on_host(self, parameters):
        return None

    def heads(self, parameters, inputs, memory=None, *, part="all"):
        found = self.network.heads(parameters, inputs, part=part)
        return found if memory is None else Heads(*found[:3], memory.state + 1.0)


def counting(*seeds: int) -> Stage:
    configs = [small(seed=seed, envs={"kwargs": {"max_episode_steps": LIMIT}}) for seed in seeds]
    now = stage(*configs)
    model = replace(now.model, network=Counting(now.model.network))
    return now._replace(model=model, collector=collector(model, now.configs))


def collector(model, configs, states=None, *, whole_episodes: bool = False) -> Collector:
    env, seeds = registry.make(configs[0].env, len(configs)), [one.seed for one in configs]
    steps = configs[0].algo.rollout_steps
    return Collector(model, env, seeds, steps, 1000, "cpu", states, whole_episodes=whole_episodes)


@pytest.mark.broken_by(
    "recurrent memory kept beyond the end of its episode",
    "collect/collector.py",
    "        ongoing.end(ended)\n        self._memory = forgotten(self._memory, ended)\n",
    "        ongoing.end(ended)\n",
)
@pytest.mark.broken_by(
    "recurrent memory of the end of a rollout in the place of its start",
    "collect/collector.py",
    "        return Record(Ongoing(self.states), self._memory)\n",
    "        return Record(Ongoing(self.states), None if self._memory is None else self._memory + 1)\n",
)
def test_memory_is_carried_on_and_forgotten_with_its_episode():
    now = counting(0, 1)
    first, _ = now.collector.collect(now.state.policy, [0, 0])
    assert first.memory.dtype == torch.float32
    assert torch.equal(first.memory, torch.zeros(2, 4, 1))
    for state in now.collector.states:
        assert state.memory[:, 0].tolist() == state.lengths.tolist()
    second, _ = now.collector.collect(now.state.policy, [1, 1])
    lengths = [state.lengths.tolist() for state in now.collector.states]
    ended = (first.terminated | first.truncated).any(0)
    assert ended.all()
    since = torch.tensor(
        [
            [
                16 - 1 - max(t for t in range(16) if (first.terminated | first.truncated)[t, r, n])
                for n in range(4)
            ]
            for r in range(2)
        ]
    )
    assert torch.equal(second.memory[..., 0], since.float())
    assert lengths == [state.memory[:, 0].tolist() for state in now.collector.states]


def test_whole_episodes_begin_without_memory():
    now = counting(0)
    whole = collector(now.model, now.configs, whole_episodes=True)
    for update in range(2):
        rollout, _ = whole.collect(now.state.policy, [update])
        assert (rollout.memory == 0).all()
        assert (whole.states[0].memory == 0).all()


def test_a_restored_collector_has_its_memory_and_a_new_episode_none():
    now = counting(0, 1)
    now.collector.collect(now.state.policy, [0, 0])
    states = now.collector.states
    again = collector(now.model, now.configs, states)
    for left, right in zip(states, again.states, strict=True):
        assert np.array_equal(left.memory, right.memory)
    found, wanted = (one.collect(now.state.policy, [1, 1])[0] for one in (again, now.collector))
    assert torch.equal(found.memory, wanted.memory)
    assert (found.memory > 0).any()
    lost = [state._replace(observations=state.observations + 1) for state in states]
    assert all((state.memory == 0).all() for state in collector(now.model, now.configs, lost).states)


def test_runs_that_are_left_keep_their_memory():
    now = counting(0, 1, 2)
    now.collector.collect(now.state.policy, [0, 0, 0])
    kept = [now.collector.states[run].memory for run in (2, 0)]
    now.collector.select([2, 0])
    rows = torch.tensor([2, 0])
    policy = now.state.policy
    chosen = policy._replace(
        parameters=policy.parameters[rows],
        moments=type(policy.moments)(*(leaf[rows] for leaf in policy.moments)),
    )
    rollout, _ = now.collector.collect(chosen, [1, 1])
    assert np.array_equal(rollout.memory.numpy(), np.stack(kept))


def test_a_network_without_memory_has_none_anywhere():
    now = stage(small())
    assert now.collect().memory is None
    assert now.collector.states[0].memory.shape == (4, 0)
