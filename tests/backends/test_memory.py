"""Sessions of networks with memory: cohorts, resuming within episodes, evaluation, devices."""

from __future__ import annotations

import numpy as np
import pytest

from rlcli.backends.native import NativeSession
from rlcli.collect.evaluation import evaluate
from rlcli.envs import registry
from rlcli.maths.draws import environment_seed
from rlcli.nets.actor import Actor
from tests.backends.test_cohort import assert_same_state, rows
from tests.learner.recurrent import remembering

NORMALISED = {"normalize_observation": True, "normalize_reward": True, "kwargs": {"max_episode_steps": 23}}
cells = pytest.mark.parametrize("cell", ["lstm", "gru"])


@cells
@pytest.mark.parametrize("shared", [False, True], ids=["separate", "shared"])
def test_three_runs_together_are_the_three_alone(shared, cell):
    """On real actions, whitened observations, odd sizes."""
    different = [{"gamma": 0.9, "learning_rate": 1e-2}, {"clip": 0.1}, {"target_kl": 1e-4, "epochs": 2}]
    configs = [
        remembering(
            cell, env="Pendulum-v1", seed=seed, envs=NORMALISED | {"num_envs": 6},
            algo={"rollout_steps": 11, "minibatches": 3, "epochs": 2} | own, network={"shared": shared},
        )
        for seed, own in enumerate(different)
    ]  # fmt: skip
    together = NativeSession(configs)
    found = rows(together, 3)
    for run, config in enumerate(configs):
        alone = NativeSession([config])
        assert [row[run] for row in found] == [row[0] for row in rows(alone, 3)]
        assert_same_state(together, run, alone, 0)


@pytest.mark.broken_by(
    "episodes resumed without their memory",
    "collect/memory.py",
    "    return found if found.shape[-1] else None\n",
    "    return found * 0 if found.shape[-1] else None\n",
    case="lstm",
)
@cells
def test_a_run_goes_on_within_an_episode_in_another_cohort(cell):
    configs = [remembering(cell, seed=seed, envs=NORMALISED) for seed in (0, 1)]
    wanted, part, other = NativeSession(configs[:1]), NativeSession(configs[:1]), NativeSession(configs[1:])
    expected = rows(wanted, 4)
    rows(part, 2), rows(other, 1)
    saved = part.state(0)
    assert saved.tensors["collector.memory"].any()
    joined = NativeSession([configs[1], configs[0]], [other.state(0), saved])
    assert [row[1] for row in rows(joined, 2)] == [row[0] for row in expected[2:]]
    assert_same_state(joined, 1, wanted, 0)


@pytest.mark.broken_by(
    "evaluation without memory",
    "collect/evaluation.py",
    "observations, memory = step.observations, acted.memory",
    "observations, memory = step.observations, memory",
    case="lstm",
)
@cells
def test_evaluation_carries_the_state_of_each_episode(cell):
    """Each episode played by itself, its own state from zero on, has the return that was found."""
    config = remembering(
        cell, seed=2, envs={"kwargs": {"max_episode_steps": 90}}, network={"policy_gain": 30.0}
    )
    session = NativeSession([config])
    rows(session, 1)
    policy = session.policy(0)
    found = evaluate(*policy, registry.make(config.env, 1, num_envs=3), 0, 7, max_steps=100)
    act, env, returns = Actor(*policy), registry.make(config.env, 1, num_envs=1), []
    for episode in range(7):
        seed = environment_seed(0, "evaluation", episode)
        observations = env.reset(np.array([[seed]]), np.ones((1, 1), bool))
        state, total, over = np.zeros((1, 1, policy.model.network.memory_width), np.float32), 0.0, False
        while not over:
            acted = act(observations, None, state)
            step, state = env.step(acted.actions), acted.memory
            observations, total = step.observations, total + float(step.rewards[0, 0])
            over = bool((step.terminated | step.truncated)[0, 0])
        returns.append(total)
    assert found.returns.tolist() == returns
    assert len(set(returns)) > 1


@cells
def test_environments_on_a_device_carry_the_same_memory(cell):
    host, device = (
        NativeSession([remembering(cell, seed=seed, envs={"backend": backend}) for seed in (0, 1)])
        for backend in ("array", "torch")
    )
    for _ in range(2):
        rows(host, 1), rows(device, 1)
        for one, other in zip(host._collector.states, device._collector.states, strict=True):
            assert one.memory.any()
            np.testing.assert_allclose(one.memory, other.memory, rtol=1e-3, atol=1e-4)
