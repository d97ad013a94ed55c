"""Surrogates and penalties by what they do to an update: gradients that coincide, and where they part."""

from __future__ import annotations

import pytest
import torch

from rlcli.learner.update import Update
from tests.learner.setting import ROWS, Stage, small, stage

ENVS = ("CartPole-v1", "Pendulum-v1")
PLAIN = {
    "optimiser": "sgd", "learning_rate": 0.5, "learning_rate_schedule": "constant", "epochs": 1,
    "minibatches": 1, "max_grad_norm": None, "normalize_advantage": "batch", "entropy_coef": 0.01,
}  # fmt: skip
"""One plain gradient step."""


def begun(env: str, **algo) -> Stage:
    return stage(small(env, algo=PLAIN | algo))


def learned(env: str, **algo) -> Update:
    before = begun(env, **algo)
    return before.learn(before.collect())


def move(env: str, **algo) -> torch.Tensor:
    before = begun(env, **algo)
    return before.learn(before.collect()).state.policy.parameters - before.state.policy.parameters


@pytest.mark.parametrize("env", ENVS)
@pytest.mark.parametrize(
    "other",
    [
        {"surrogate": "ratio"},
        {"surrogate": "clipped"},
        {"surrogate": "ratio", "penalty": "kl_anchor_pi", "beta": 50.0},
        {"surrogate": "ratio", "penalty": "kl_pi_anchor", "beta": 50.0},
        {"surrogate": "ratio", "penalty": "kl_pi_anchor", "beta_schedule": "linear"},
        {"surrogate": "clipped", "penalty": "kl_pi_anchor", "beta_schedule": "inverse"},
    ],
    ids=lambda other: " ".join(map(str, other.values())),
)
def test_the_first_step_is_that_of_the_score_function_whatever_the_objective(env, other):
    """At pi = mu every ratio is 1 and either KL is at its minimum; m = 1 of mirror descent is this step."""
    wanted = move(env, surrogate="score")
    assert wanted.abs().max() > 0.01
    torch.testing.assert_close(move(env, **other), wanted, rtol=0, atol=1e-7)


@pytest.mark.parametrize("env", ENVS)
def test_objectives_and_directions_part_at_the_second_step(env):
    """By far more than the tolerance to which the slow learner confirms each of them."""
    twice = {"surrogate": "ratio", "epochs": 2, "beta": 50.0}
    kinds = [
        {"surrogate": "score"},
        {"surrogate": "ratio"},
        {"surrogate": "ratio", "penalty": "kl_anchor_pi"},
        {"surrogate": "ratio", "penalty": "kl_pi_anchor"},
    ]
    moves = [move(env, **twice | kind) for kind in kinds]
    apart = [(one - two).abs().max() for n, one in enumerate(moves) for two in moves[:n]]
    assert min(apart) > 1e-4


@pytest.mark.parametrize("penalty", ["kl_anchor_pi", "kl_pi_anchor"])
@pytest.mark.parametrize("env", ENVS)
def test_a_penalty_holds_the_policy_back(env, penalty):
    wild = {
        "surrogate": "ratio",
        "optimiser": "adam",
        "epochs": 20,
        "learning_rate": 0.01,
        "penalty": penalty,
    }
    found = [learned(env, **wild, beta=beta).figures for beta in (0.0, 1.0, 30.0)]
    kl = [figures["update/kl_anchor_pi"].item() for figures in found]
    assert kl[0] > 1.5 * kl[1] > 2 * kl[2] > 0
    assert [figures["update/beta"].item() for figures in found] == [0.0, 1.0, 30.0]
    assert found[0]["loss/penalty"].item() == 0 < found[2]["loss/penalty"].item()
    total = found[2]["loss/policy"] + 0.5 * found[2]["loss/value"] - 0.01 * found[2]["loss/entropy"]
    assert found[2]["loss/total"].item() == pytest.approx((total + found[2]["loss/penalty"]).item(), rel=1e-5)


def adaptive(share: float) -> tuple[Stage, Update]:
    """An update of ppo_kl whose KL is so many times its target."""
    algo = ROWS["ppo_kl"] | {"learning_rate_schedule": "constant", "beta": 3.0}
    config = small(algo=algo | {"kl_target": 1.0})
    trial = stage(config)
    kl = trial.learn(trial.collect()).figures["update/kl_anchor_pi"].item()
    before = stage(small(algo=algo | {"kl_target": kl / share}))
    update = before.learn(before.collect())
    assert update.figures["update/kl_anchor_pi"].item() == kl
    return before, update


@pytest.mark.parametrize(
    ("share", "factor"),
    [(100.0, 2.0), (1.52, 2.0), (1.48, 1.0), (1.0, 1.0), (0.68, 1.0), (0.65, 0.5), (0.01, 0.5)],
)
def test_an_adaptive_penalty_doubles_or_halves_for_the_next_update(share, factor):
    before, update = adaptive(share)
    assert update.figures["update/beta"].item() == 3.0
    assert update.figures["update/budget_used"].item() == pytest.approx(share)
    after = before._replace(state=update.state)
    assert after.learn(after.collect()).figures["update/beta"].item() == 3.0 * factor


def test_an_adaptive_penalty_goes_on_doubling_and_the_runs_of_a_cohort_have_their_own():
    algo = ROWS["ppo_kl"] | {"beta": 1.0}
    now = stage(*(small(seed=n, algo=algo | {"kl_target": target}) for n, target in enumerate((1e-9, 1e9))))
    found = []
    for _ in range(4):
        update = now.learn(now.collect())
        found.append(update.figures["update/beta"].tolist())
        now = now._replace(state=update.state)
    assert found == [[1.0, 1.0], [2.0, 0.5], [4.0, 0.25], [8.0, 0.125]]


@pytest.mark.parametrize("schedule", ["constant", "linear", "inverse"])
def test_other_penalties_do_not_adapt(schedule):
    algo = ROWS["mdpo"] | {"beta_schedule": schedule, "kl_target": 1e-9}
    now = stage(small(total_steps=64 * 4, algo=algo))
    found = []
    for _ in range(3):
        update = now.learn(now.collect())
        found.append(update.figures["update/beta"].item())
        now = now._replace(state=update.state)
    wanted = {"constant": [1, 1, 1], "linear": [1, 4 / 3, 2], "inverse": [1, 1 / 2, 1 / 3]}[schedule]
    assert found == pytest.approx(wanted)


@pytest.mark.parametrize("penalty", ["kl_anchor_pi", "kl_pi_anchor"])
@pytest.mark.parametrize("anchor", ["update", "behaviour"])
def test_under_lag_the_penalty_is_from_the_anchor(anchor, penalty):
    """Held by a strong penalty to the behaviour policy, the policy goes back to it; else it stays."""
    wild = {"learning_rate": 0.03, "learning_rate_schedule": "constant"}
    moving = stage(small(lag=2, algo=ROWS["mdpo"] | wild)).after(3)
    held = ROWS["mdpo"] | {
        "anchor": anchor, "penalty": penalty, "beta": 3e3, "beta_schedule": "constant", "epochs": 40,
        "learning_rate": 0.003,
    }  # fmt: skip
    before = moving._replace(configs=[small(lag=2, algo=held)])
    rollout = before.collect()
    still = moving._replace(configs=[small(lag=2, algo=held | {"learning_rate": 0.0})]).learn(rollout)
    start = still.figures["behaviour/kl_mu_pi"].item()
    assert start > 3e-3
    assert still.figures["update/kl_anchor_pi"].item() == 0.0
    found = before.learn(rollout).figures
    if anchor == "behaviour":
        assert found["behaviour/kl_mu_pi"].item() < 0.1 * start
        assert still.figures["loss/penalty"].item() > 3e3 * 3e-3 * 0.5
    else:
        assert found["update/kl_anchor_pi"].item() < 0.1 * start
        assert found["behaviour/kl_mu_pi"].item() > 0.5 * start
