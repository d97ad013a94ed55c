"""Lag: the policy that acts is an older one, and every ratio knows it."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from rlcli.config.schema.record import HealthConfig
from rlcli.learner.state import behaviour
from rlcli.maths.pareto import khat
from tests.learner.setting import Stage, hold, same, small, stage

ENVS = {"normalize_observation": True}
WILD = {"learning_rate": 0.03}


def lagged(env: str = "CartPole-v1", lag: int = 2, **algo) -> Stage:
    return stage(*(small(env, seed=seed, lag=lag, envs=ENVS, algo=WILD | algo) for seed in (0, 1)))


@pytest.mark.broken_by(
    "today's statistics under yesterday's policy",
    "learner/state.py",
    "    return oldest\n",
    "    return oldest._replace(moments=state.policy.moments)\n",
)
@pytest.mark.parametrize("lag", [0, 1, 2, 3])
def test_the_policy_of_update_u_minus_lag_acts_with_its_statistics(lag):
    now = lagged(lag=lag)
    past = []
    for done in range(6):
        past.append(now.state.policy)
        acting, wanted = behaviour(now.state), past[max(0, done - lag)]
        for found, expected in zip(
            (acting.parameters, *acting.moments), (wanted.parameters, *wanted.moments), strict=True
        ):
            assert same(found, expected)
        learned = now.learn(now.collect())
        assert all(all(mask) for mask in hold(learned).values())
        now = now._replace(state=learned.state)
    assert not same(past[0].moments.mean, past[1].moments.mean)
    assert not same(past[4].parameters, past[5].parameters)


def log_probs(now: Stage, rollout):
    """log μ and log of the current policy, on the rollout's actions, each from its own snapshot, [R, B]."""

    def rows(field):
        return field.transpose(0, 1).flatten(1, 2)

    return [
        now.model.family.distribution(*now.model.outputs(snapshot, rows(rollout.acted_on))).log_prob(
            rows(rollout.actions)
        )
        for snapshot in (behaviour(now.state), now.state.policy)
    ]


@pytest.mark.broken_by(
    "importance weights without their cap",
    "learner/prepare.py",
    "return torch.where(correction > hyper.weight_bar, hyper.weight_bar, correction)",
    "return correction",
)
@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
def test_each_sample_weighs_as_much_as_the_anchor_would_have_it_but_at_most_the_cap(env):
    now = lagged(env, weight_bar=1.1).after(3)
    rollout = now.collect()
    learned = now.learn(rollout)
    log_mu, log_anchor = log_probs(now, rollout)
    wanted = (log_anchor - log_mu).exp().clamp(max=1.1)
    assert 0.1 < (wanted == 1.1).float().mean() < 0.9
    torch.testing.assert_close(learned.batch.weights, wanted)
    torch.testing.assert_close(learned.batch.log_anchor, log_anchor)


def test_with_the_behaviour_policy_as_anchor_nothing_is_weighted():
    now = lagged(anchor="behaviour").after(3)
    rollout = now.collect()
    learned = now.learn(rollout)
    log_mu, log_now = log_probs(now, rollout)
    assert learned.batch.weights is None
    torch.testing.assert_close(learned.batch.log_anchor, log_mu)
    assert (log_mu - log_now).abs().max() > 0.01


def test_health_under_lag_is_against_both_references():
    now = lagged(minibatches=1, epochs=1, learning_rate=0.0).after(0)
    moving = lagged().after(3)
    still = moving._replace(configs=now.configs)
    rollout = still.collect()
    learned = still.learn(rollout)
    log_mu, log_now = (value.double() for value in log_probs(still, rollout))
    # Nothing was learned: against the anchor nothing has moved, against μ three updates' worth has.
    assert learned.figures["update/kl_anchor_pi"].tolist() == [0.0, 0.0]
    assert learned.figures["update/ess"].tolist() == [1.0, 1.0]
    assert (learned.figures["behaviour/kl_mu_pi"] > 1e-3).all()
    ratio = (log_now - log_mu).exp()
    ess = ratio.sum(-1) ** 2 / (64 * (ratio**2).sum(-1))
    torch.testing.assert_close(learned.figures["behaviour/ess"], ess, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(
        learned.figures["behaviour/kl_k1"], -(log_now - log_mu).mean(-1), rtol=1e-4, atol=1e-6
    )
    assert learned.figures["update/lag"].tolist() == [2.0, 2.0]


@pytest.mark.broken_by(
    "k-hat of the anchor's ratios",
    "learner/measure.py",
    "khat(policy.log_prob - prepared.mu.log_prob)",
    "khat(policy.log_prob - prepared.anchor.log_prob)",
)
def test_khat_is_of_the_ratios_to_the_behaviour_policy():
    now = lagged(rollout_steps=64).after(3)
    rollout = now.collect()
    learned = now.learn(rollout)
    log_mu, _ = log_probs(now, rollout)
    policy = now.model.distribution(learned.state.policy.parameters, learned.batch.inputs)
    log_ratio = policy.log_prob(learned.batch.actions).double() - log_mu.double()
    torch.testing.assert_close(learned.figures["behaviour/khat"], khat(log_ratio), rtol=1e-2, atol=1e-3)
    unmeasured = now._replace(
        configs=[dataclasses.replace(one, health=HealthConfig(khat=False)) for one in now.configs]
    )
    assert "behaviour/khat" not in unmeasured.learn(rollout).figures


def test_sampled_figures_against_the_anchor_are_reweighted():
    now = lagged(weight_bar=0.5).after(3)
    rollout = now.collect()
    learned = now.learn(rollout)
    log_mu, log_anchor = (value.double() for value in log_probs(now, rollout))
    policy = now.model.distribution(learned.state.policy.parameters, learned.batch.inputs)
    log_pi = policy.log_prob(learned.batch.actions).double()
    weights, ratio = (log_anchor - log_mu).exp(), (log_pi - log_anchor).exp()
    for name, values in {
        "ratio_mean": ratio, "kl_k1": -ratio.log(), "tv_sampled": (ratio - 1).abs() / 2,
        "clip_fraction": ((ratio - 1).abs() > 0.2).double(),
    }.items():  # fmt: skip
        wanted = (weights * values).sum(-1) / weights.sum(-1)
        torch.testing.assert_close(learned.figures[f"update/{name}"], wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("anchor", ["update", "behaviour"])
def test_early_stopping_asks_about_the_anchor(anchor):
    """Under lag the behaviour policy is already far away: held to it, the exact rule stops at once."""
    algo = {
        "target_kl": 1e-3,
        "target_kl_rule": "epoch_exact",
        "epochs": 3,
        "learning_rate": 1e-5,
        "anchor": anchor,
    }
    now = lagged().after(3)
    held = now._replace(configs=[small(seed=seed, lag=2, envs=ENVS, algo=algo) for seed in (0, 1)])
    learned = held.learn(held.collect())
    assert (learned.figures["behaviour/kl_mu_pi"] > 1e-3).all()
    assert learned.figures["update/epochs"].tolist() == ([3.0, 3.0] if anchor == "update" else [1.0, 1.0])


def test_no_lag_no_weights():
    now = lagged(lag=0).after(1)
    learned = now.learn(now.collect())
    assert learned.batch.weights is None
    assert learned.figures["update/lag"].tolist() == [0.0, 0.0]
