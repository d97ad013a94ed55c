"""Surrogates and penalties by what they do to an update: gradients that coincide, and where they part."""

from __future__ import annotations

import pytest
import torch

from rlcli.config.schema.run import RunConfig
from rlcli.learner.update import Update
from tests.learner.setting import ROWS, Stage, hold, small, stage

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
        {"surrogate": "clipped", "clip_high": 0.3, "clip_dual": 3.0},
        {"surrogate": "spo"},
        {"surrogate": "dppo"},
        {"surrogate": "cispo", "clip_high": 1.0},
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


@pytest.mark.broken_by(
    "an adaptive penalty doubled where it should be halved",
    "learner/penalty.py",
    "moved = torch.where(kl > ADAPTIVE_BAND * target, factor * 2.0, lowered)",
    "moved = torch.where(kl < ADAPTIVE_BAND * target, factor * 2.0, lowered)",
)
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
    algo = ROWS["ppo_kl"] | {"beta": 1.0, "beta_min": None, "beta_max": None}
    now = stage(*(small(seed=n, algo=algo | {"kl_target": target}) for n, target in enumerate((1e-9, 1e9))))
    found = []
    for _ in range(4):
        update = now.learn(now.collect())
        found.append(update.figures["update/beta"].tolist())
        now = now._replace(state=update.state)
    assert found == [[1.0, 1.0], [2.0, 0.5], [4.0, 0.25], [8.0, 0.125]]


def course(updates: int, *configs: RunConfig, factor: float = 1.0) -> list[dict[str, list[float]]]:
    """Beta and where it stands, update by update, from a coefficient that has come to `factor`."""
    now = stage(*configs)
    begun = torch.full_like(now.state.coefficient, factor)
    now, found = now._replace(state=now.state._replace(coefficient=begun)), []
    for _ in range(updates):
        update = now.learn(now.collect())
        assert all(all(mask) for mask in hold(update).values())
        found.append({name: update.figures[f"update/{name}"].tolist() for name in ("beta", "beta_bound")})
        now = now._replace(state=update.state)
    return found


def test_an_adaptive_penalty_stays_within_its_bounds_and_says_when_it_is_there():
    """Bounds are factors of algo.beta; each run of a cohort has its own, or none."""
    row = ROWS["ppo_kl"] | {"beta": 0.3}
    found = course(
        4,
        small(seed=0, algo=row | {"kl_target": 1e9, "beta_min": 0.3, "beta_max": 4.0}),
        small(seed=1, algo=row | {"kl_target": 1e-9, "beta_min": 0.3, "beta_max": 3.0}),
        small(seed=2, algo=row | {"kl_target": 1e9, "beta_min": None, "beta_max": None}),
    )
    assert [one["beta"] for one in found] == [
        [0.3, 0.3, 0.3],
        [0.3 * 0.5, 0.3 * 2.0, 0.3 / 2],
        [0.3 * 0.3, 0.3 * 3.0, 0.3 / 4],
        [0.3 * 0.3, 0.3 * 3.0, 0.3 / 8],
    ]
    assert [one["beta_bound"] for one in found] == [[0, 0, 0], [0, 0, 0], [-1, 1, 0], [-1, 1, 0]]


@pytest.mark.broken_by(
    "an adaptive penalty without a floor",
    "learner/penalty.py",
    "return torch.minimum(torch.maximum(moved, floor), ceiling)",
    "return torch.minimum(moved, ceiling)",
)
@pytest.mark.broken_by(
    "an adaptive penalty without a ceiling",
    "learner/penalty.py",
    "return torch.minimum(torch.maximum(moved, floor), ceiling)",
    "return torch.maximum(moved, floor)",
)
@pytest.mark.parametrize(("target", "ends"), [(1e9, 0.5), (1e-9, 64.0)])
def test_by_default_a_penalty_neither_dies_nor_explodes(target, ends):
    """From the edge of float32's range, where one more step would make the product 0 or infinite."""
    edge = 2.0**-149 if target > 1 else 2.0**127
    found = course(3, small(algo=ROWS["ppo_kl"] | {"kl_target": target}), factor=edge)
    assert [one["beta"] for one in found[1:]] == [[ends], [ends]]


@pytest.mark.broken_by(
    "a penalty multiplied in float32",
    "learner/penalty.py",
    'return hyper.exact("beta") * factors * factor',
    'return (hyper.exact("beta") * factors).float().mul(factor.float()).double()',
)
def test_the_product_is_carried_beyond_what_float32_holds():
    row = ROWS["ppo_kl"] | {"kl_target": 1e9, "beta_min": None, "beta": 0.1}
    found = course(2, small(algo=row), factor=2.0**-160)
    assert [one["beta"] for one in found] == [[0.1 * 2.0**-160], [0.1 * 2.0**-161]]


def test_from_its_floor_a_penalty_returns_with_the_first_doubling():
    row = ROWS["ppo_kl"] | {"kl_target": 1e-9, "beta_min": 0.25}
    assert [one["beta"] for one in course(3, small(algo=row), factor=0.25)] == [[0.25], [0.5], [1.0]]


@pytest.mark.broken_by(
    "a penalty adapted to the other KL",
    "learner/algorithm.py",
    "backward = self.penalty is not None and self.penalty.adapts and self.penalty.backward",
    "backward = False",
)
@pytest.mark.parametrize("lag", [0, 1])
@pytest.mark.parametrize("anchor", ["update", "behaviour"])
def test_what_is_penalised_is_what_adapts_it_and_what_is_spent(anchor, lag):
    """Either KL, from either anchor; a target between the two tells which was read."""
    for penalty, name in (("kl_pi_anchor", "kl_pi_"), ("kl_anchor_pi", "kl_{}_pi")):
        row = ROWS["mdpo"] | {
            "penalty": penalty, "beta_schedule": "adaptive", "anchor": anchor, "epochs": 10, "beta": 0.01,
            "learning_rate": 0.1, "beta_min": None, "minibatches": 1,
        }  # fmt: skip
        group, reference = ("update", "anchor") if anchor == "update" else ("behaviour", "mu")
        own = f"{group}/" + (name.format(reference) if "{}" in name else name + reference)
        other = f"{group}/" + (f"kl_{reference}_pi" if penalty == "kl_pi_anchor" else f"kl_pi_{reference}")
        begun = stage(small(lag=lag, algo=row | {"kl_target": 1.0}))
        rollout = begun.collect()
        read = begun.learn(rollout).figures
        mine, theirs = read[own].item(), read[other].item()
        assert abs(mine / theirs - 1) > 0.03
        target = mine / 1.5 * (1.01 if theirs > mine else 0.99)
        now = begun._replace(configs=[small(lag=lag, algo=row | {"kl_target": target})])
        update = now.learn(rollout)
        assert update.figures["update/budget_used"].item() == pytest.approx(mine / target)
        assert update.state.coefficient.item() == (1.0 if theirs > mine else 2.0)


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
