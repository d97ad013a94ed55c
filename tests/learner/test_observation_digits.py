"""Observations whose signal is small beside their mean: whitened in float64, they are as if never shifted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from rlcli.backends.native import NativeSession
from rlcli.backends.session import Checkpoint
from rlcli.collect.state import restore
from rlcli.config.schema.env import EnvConfig
from rlcli.envs import registry
from tests.collect.environments import HERE
from tests.learner.setting import ROWS, Stage, hold, same, small, stage

ENVS = ("Signal", "Named")


def shifted(env: str, shift: float, *, seeds: tuple[int, ...] = (0,), **kwargs) -> Stage:
    """Before its first update, statistics known from one rollout that nothing was learnt from."""
    envs = {"kwargs": {"shift": shift, **kwargs}, "normalize_observation": True}
    algo = {
        "learning_rate": 0.0, "learning_rate_schedule": "constant", "rollout_steps": 64, "optimiser": "sgd",
        "gae_lambda": 0.0, "gamma": 0.0, "epochs": 4,
    }  # fmt: skip
    configs = [small(f"{HERE}{env}-v0", seed=seed, envs=envs, algo=algo) for seed in seeds]
    still = stage(*configs).after(1)
    learning = [replace(one, algo=replace(one.algo, learning_rate=0.3)) for one in configs]
    return still._replace(configs=learning)


@pytest.mark.broken_by(
    "whitening in float32",
    "nets/observations.py",
    "return ((self.rows(observations).double() - mean) * scale).clamp(-CLIP, CLIP).float()",
    "return ((self.rows(observations).float() - mean.float()) * scale.float()).clamp(-CLIP, CLIP)",
)
@pytest.mark.parametrize("env", ENVS)
def test_a_shifted_environment_shows_the_network_what_its_copy_shows(env):
    inputs = []
    for shift in (0.0, 1e6):
        now = shifted(env, shift)
        rollout = now.collect()
        assert rollout.acted_on.dtype == torch.float64
        update = now.learn(rollout)
        assert hold(update) == {said: [True] for said in hold(update)}
        inputs.append(update.batch.inputs)
    assert inputs[0].dtype == torch.float32
    assert inputs[0].std() > 0.3
    torch.testing.assert_close(inputs[1], inputs[0], rtol=0, atol=1e-6)


@pytest.mark.broken_by(
    "observations rounded at the boundary",
    "envs/spec.py",
    "            return replace(self, dtype=self.precise)",
    "            return self",
)
@pytest.mark.parametrize("env", ENVS)
def test_it_learns_what_its_copy_learns(env):
    found = []
    for shift in (0.0, 1e6):
        now, rewards = shifted(env, shift), []
        for _ in range(8):
            rollout = now.collect()
            rewards.append(rollout.rewards.mean().item())
            now = now._replace(state=now.learn(rollout).state)
        found.append((rewards, now.state.policy.parameters))
    assert found[0][0] == found[1][0]
    assert found[1][0][-1] > found[1][0][0] + 0.05
    torch.testing.assert_close(found[1][1], found[0][1], rtol=0, atol=1e-4)


@pytest.mark.parametrize(("kind", "kept"), [("float64", True), ("int64", True), ("float32", False)])
def test_digits_are_kept_only_where_float32_has_too_few_and_they_are_whitened(kind, kept):
    kwargs = {"kind": kind, "scale": 100.0}
    for env, normalize in ((env, normalize) for env in ENVS for normalize in (True, False)):
        config = EnvConfig(id=f"{HERE}{env}-v0", kwargs=kwargs, normalize_observation=normalize)
        wanted = np.float64 if kept and normalize else np.float32
        assert registry.describe(config).observation.dtype == wanted
        seen = registry.make(config, 1).reset(np.zeros((1, config.num_envs), np.int64), np.ones((1, 8), bool))
        assert seen.dtype == wanted


@pytest.mark.broken_by(
    "an actor that whitens in float32",
    "nets/observations.py",
    "rows = (flat(observations).astype(np.float64, copy=False) - mean) * scale",
    "rows = (flat(observations).astype(np.float32) - mean.astype(np.float32)) * scale",
)
def test_the_actor_whitens_to_the_bits_of_the_batch_and_runs_of_a_cohort_as_alone():
    together = shifted("Signal", 1e6, seeds=(0, 1))
    rollout = together.collect()
    encoder, moments = together.model.network.encoder, together.state.policy.moments
    batch = rollout.acted_on[:, :, 0].transpose(0, 1).contiguous()
    inputs = encoder.encode(batch, moments)
    assert same(torch.from_numpy(encoder.on_host(moments)(batch.numpy())), inputs)
    alone = shifted("Signal", 1e6, seeds=(1,))
    learned = together.learn(rollout).state, alone.learn(alone.collect()).state
    assert same(learned[0].policy.parameters[1], learned[1].policy.parameters[0])
    assert same(learned[0].policy.moments.variance[1], learned[1].policy.moments.variance[0])


def test_a_state_that_kept_fewer_digits_is_taken_up():
    """As an earlier rlcli saved it: what it showed is compared in the digits there are."""
    now = shifted("Signal", 1e6)
    config = now.configs[0].env
    [state] = now.collector.states
    older = state._replace(observations=state.observations.astype(np.float32))
    restored = restore(registry.make(config, 1), [0], [older])
    assert not restored.given_up.any()
    assert np.array_equal(restored.observations[0], state.observations)
    other = older._replace(observations=older.observations + np.float32(1.0))
    assert restore(registry.make(config, 1), [0], [other]).given_up.all()


def test_a_checkpoint_with_fewer_digits_goes_on():
    row = ROWS["ppg"] | {"auxiliary_every": 2, "auxiliary_epochs": 1, "auxiliary_minibatches": 2}
    envs = {"kwargs": {"shift": 100.0}, "normalize_observation": True}
    config = small(f"{HERE}Signal-v0", algo=row, envs=envs)
    session = NativeSession([config])
    session.update()
    saved = session.state(0)
    narrow = {
        name: leaf.float() if name.endswith("observations") else leaf for name, leaf in saved.tensors.items()
    }
    kept = [leaf for name, leaf in saved.tensors.items() if name.endswith("observations") and leaf.numel()]
    assert {leaf.dtype for leaf in kept} == {torch.float64}
    resumed = NativeSession([config], [Checkpoint(narrow, saved.update)])
    assert resumed.restarted(0) == 0
    assert "auxiliary/value" in resumed.update()[0]
    assert {
        leaf.dtype
        for name, leaf in resumed.state(0).tensors.items()
        if "observations" in name and leaf.numel()
    } == {torch.float64}
