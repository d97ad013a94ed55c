"""Collecting on a device, here the CPU as torch has it, gives what collecting on the host gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rlcli.backends.native import NativeSession
from rlcli.collect.collector import Collector
from rlcli.collect.device import DeviceCollector
from rlcli.config.schema.compute import ComputeConfig
from tests.learner.setting import small

ENVS = {
    "cartpole": {"kwargs": {"max_episode_steps": 12}},
    "acrobot": {"id": "Acrobot-v1", "kwargs": {"max_episode_steps": 10}},
    "mountain_car": {"id": "MountainCar-v0", "kwargs": {"max_episode_steps": 11}},
    "continuous": {"id": "MountainCarContinuous-v0", "kwargs": {"max_episode_steps": 9}},
    "pendulum": {"id": "Pendulum-v1", "kwargs": {"max_episode_steps": 10}},
}
FIELDS = ("observations", "actions", "rewards", "terminated", "truncated", "outputs")


def sessions(name, **options):
    """The same cohort of two on the host and on the device."""
    made = [
        NativeSession(
            [
                small(
                    seed=seed,
                    envs=ENVS[name] | {"backend": backend},
                    compute=ComputeConfig(kernel="torch"),
                    **options,
                )
                for seed in (3, 4)
            ]
        )
        for backend in ("array", "torch")
    ]
    assert [type(one._collector) for one in made] == [Collector, DeviceCollector]
    return made


@pytest.mark.broken_by(
    "seeds on the device of episodes that are over",
    "collect/device.py",
    "                ongoing.end(ended)\n                env.begin(self._starts(ongoing, ended), ended)\n",
    "                env.begin(self._starts(ongoing, ended), ended)\n                ongoing.end(ended)\n",
)
@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("name", ENVS)
def test_rollouts_are_those_of_the_host_within_the_tolerance(name, whole):
    host, device = (one._collector for one in sessions(name))
    host.whole_episodes = device.whole_episodes = whole
    policy = sessions(name)[0]._state.policy
    for updates in ([0, 0], [1, 1]):
        wanted, ended = host.collect(policy, updates)
        found, ended_too = device.collect(policy, updates)
        for field in (*FIELDS, "counted"):
            left, right = getattr(wanted, field), getattr(found, field)
            assert left.dtype == right.dtype
            assert left.shape == right.shape
            torch.testing.assert_close(right, left, rtol=0, atol=3e-5)
        assert torch.equal(wanted.finals.places, found.finals.places)
        torch.testing.assert_close(found.successors(), wanted.successors(), rtol=0, atol=3e-5)
        assert wanted.truncated.any()
        assert [one.lengths for one in ended] == [one.lengths for one in ended_too]
        for mine, other in zip(ended, ended_too, strict=True):
            np.testing.assert_allclose(mine.returns, other.returns, atol=1e-3)
        for mine, other in zip(host.states, device.states, strict=True):
            assert (mine.episodes == other.episodes).all()
            assert (mine.lengths == other.lengths).all()
            np.testing.assert_allclose(mine.history, other.history, atol=3e-5)
        # What came apart is not carried on.
        device.env._state = torch.from_numpy(host.env._state.copy())


@pytest.mark.parametrize("name", ["cartpole", "pendulum"])
def test_a_run_learns_and_goes_on_from_its_checkpoint(name):
    _, session = sessions(name)
    for _ in range(2):
        rows = session.update()
    assert all("update/explained_variance" in row for row in rows.values())
    configs = session._configs
    restored = NativeSession(configs, [session.state(run) for run in (0, 1)])
    assert restored.update()[0]["update"] == 3
    session.update()
    for mine, other in zip(session._collector.states, restored._collector.states, strict=True):
        assert mine.history.tobytes() == other.history.tobytes()
        assert mine.returns.tobytes() == other.returns.tobytes()


def test_a_policy_that_diverged_fails_its_run_only():
    _, session = sessions("pendulum")
    session._state.policy.parameters[0] = float("nan")
    outcome = session.update()
    assert "non-finite reward" in str(outcome[0].error)
    assert outcome[1]["update"] == 1
    session.drop(0)
    assert list(session.update()) == [1]
