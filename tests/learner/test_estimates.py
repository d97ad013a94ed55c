"""What an update learns from: V-trace of an older policy, re-estimation, clipped rewards, summed losses."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from rlcli.learner.state import behaviour
from tests.learner.setting import Stage, same, small, stage

VTRACE = {"targets": "vtrace", "surrogate": "score", "anchor": "behaviour", "epochs": 1, "minibatches": 1,
          "normalize_advantage": "none", "rho_bar": 1.05, "c_bar": 0.95, "learning_rate": 0.02}  # fmt: skip
LAGGED_ENVS = {"num_envs": 4}


def lagged(env: str, **algo) -> Stage:
    return stage(*(small(env, seed=seed, lag=2, envs=LAGGED_ENVS, algo=VTRACE | algo) for seed in (0, 1)))


def by_time(batch: torch.Tensor) -> torch.Tensor:
    """[R, T N] -> [T, R, N] for the 16 steps of these configs."""
    return batch.unflatten(1, (16, -1)).transpose(0, 1).double()


def rows(field: torch.Tensor) -> torch.Tensor:
    return field.transpose(0, 1).flatten(1, 2)


@pytest.mark.broken_by(
    "V-trace to the behaviour policy's own ratio",
    "learner/estimator.py",
    "self._by_time(log_prob - self._log_acting),",
    "self._by_time(self._log_acting - log_prob),",
)
@pytest.mark.parametrize("surrogate", ["score", "ratio"])
@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
def test_vtrace_corrects_for_the_policy_that_acted(env, surrogate):
    """Against the sum of Espeholt et al. 2018, equation 1, written out with the products of traces."""
    now = lagged(env, surrogate=surrogate).after(3)
    rollout = now.collect()
    batch = now.learn(rollout).batch
    model, policy = now.model, now.state.policy

    def log_prob(snapshot):
        outputs = model.outputs(snapshot, rows(rollout.acted_on))
        return model.family.distribution(*outputs).log_prob(rows(rollout.actions))

    def value(observations):
        return by_time(model.value(policy.parameters, model.encode(policy, rows(observations))))

    rho = by_time((log_prob(policy) - log_prob(behaviour(now.state))).exp())
    assert (rho > 1.05).any()
    assert (rho < 0.95).any()
    v, following = value(rollout.acted_on), value(rollout.successors())
    gamma, ended = 0.99, rollout.terminated | rollout.truncated
    following = torch.where(rollout.terminated, 0.0, following)
    capped, traces = rho.clamp(max=1.05), 0.95 * rho.clamp(max=0.95)
    deltas = capped * (rollout.rewards + gamma * following - v)
    targets, advantages = v.clone(), torch.zeros_like(v)
    for s in range(16):
        product = torch.ones_like(v[0])
        for t in range(s, 16):
            targets[s] += product * deltas[t]
            product = torch.where(ended[t], 0.0, product * gamma * traces[t])
    for s in range(16):
        last = s == 15
        onward = following[s] if last else torch.where(ended[s], following[s], targets[s + 1])
        advantages[s] = rollout.rewards[s] + gamma * onward - v[s]
    if surrogate == "score":
        advantages = capped * advantages
    torch.testing.assert_close(by_time(batch.targets), targets, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(by_time(batch.advantages), advantages, rtol=1e-4, atol=1e-3)


def learned(**algo):
    before = stage(small(seed=3, algo={"normalize_advantage": "none", "minibatches": 1} | algo)).after(1)
    return before.learn(before.collect())


def test_estimates_are_made_anew_before_later_epochs_alone():
    for epochs, changes in ((1, False), (3, True)):
        once, anew = (learned(epochs=epochs, recompute=when) for when in ("update", "epoch"))
        alike = same(once.state.policy.parameters, anew.state.policy.parameters)
        assert alike is not changes


def test_a_summed_loss_has_the_batch_as_a_factor():
    """Without a norm limit, plain gradient descent on the sum is that on the mean with B times the rate."""
    plain = {"optimiser": "sgd", "max_grad_norm": None, "epochs": 1}
    summed = learned(**plain, loss_reduction="sum", learning_rate=1e-5)
    mean = learned(**plain, loss_reduction="mean", learning_rate=64e-5)
    torch.testing.assert_close(
        summed.figures["update/grad_norm_max"], 64 * mean.figures["update/grad_norm_max"], rtol=1e-3, atol=0
    )
    assert summed.figures["update/grad_norm_max"].item() > 1.0


def test_rewards_are_clipped_for_learning():
    """With gamma 0 a value target is its reward."""
    before = stage(small("Pendulum-v1", algo={"gamma": 0.0, "gae_lambda": 0.0, "reward_clip": 2.0}))
    rollout = before.collect()
    batch = before.learn(rollout).batch
    wanted = rows(rollout.rewards).clamp(-2.0, 2.0).float()
    assert (wanted == -2.0).any()
    assert (wanted > -2.0).any()
    torch.testing.assert_close(batch.targets, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("lag", [0, 2])
@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
def test_runs_together_learn_by_vtrace_as_each_alone(env, lag):
    algo = VTRACE | {"epochs": 2, "recompute": "epoch", "optimiser": "rmsprop"}
    configs = [
        small(env, seed=seed, lag=lag, algo=algo | {"learning_rate": rate, "rho_bar": bar})
        for seed, rate, bar in ((0, 0.02, 1.2), (5, 0.01, 1.0), (9, 0.003, 2.0))
    ]
    together = stage(*configs).after(4).state.policy.parameters
    for run, config in enumerate(configs):
        assert same(stage(replace(config)).after(4).state.policy.parameters[0], together[run])
