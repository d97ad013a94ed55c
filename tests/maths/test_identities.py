"""What estimators of the policy gradient agree on, and which are unbiased: all trajectories enumerated.

The problem: two states, two actions, two steps, sometimes only one; μ acts, π learns. Every trajectory and
its probability are known, so that an expectation is a sum and holds to rounding.
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from rlcli.maths.distributions import Categorical
from rlcli.maths.estimators import returns_to_go, whiten
from rlcli.maths.importance import KINDS, importance_weights, sqrt_cap
from rlcli.maths.importance_gradients import gradient_coefficients
from rlcli.maths.segments import segments
from rlcli.maths.surrogates import Objective, clipped, importance_ratio, score

GAMMA = 0.8
MU = torch.tensor([[0.3, -0.2], [0.1, 0.9], [-0.5, 0.4]], dtype=torch.float64)
PI = torch.tensor([[-0.6, 0.7], [0.8, -0.3], [0.5, -0.9]], dtype=torch.float64)
"""Logits of each state's actions: the start, and the two states the second step may be taken in."""
REWARD = torch.tensor([[1.0, -0.5], [2.0, 0.3], [-1.0, 0.7]], dtype=torch.float64)
LEAVES = (0.5, 0.15)
"""Chance that the episode ends after the first step, by its action a; else state 1 + a or 2 - a follows."""
SLIP = 0.25
BASELINE = torch.tensor([0.4, 1.5, -0.7], dtype=torch.float64)


class Trajectory(NamedTuple):
    states: tuple[int, ...]
    actions: tuple[int, ...]
    dynamics: float
    """Probability of everything but the actions."""


def trajectories() -> list[Trajectory]:
    found = []
    for first in range(2):
        found.append(Trajectory((0,), (first,), LEAVES[first]))
        for slipped, second in itertools.product((False, True), range(2)):
            state = 2 - first if slipped else 1 + first
            chance = (1 - LEAVES[first]) * (SLIP if slipped else 1 - SLIP)
            found.append(Trajectory((0, state), (first, second), chance))
    return found


ALL = trajectories()


def log_policy(logits: Tensor, path: Trajectory) -> Tensor:
    return torch.log_softmax(logits, -1)[list(path.states), list(path.actions)]


def chance(logits: Tensor, path: Trajectory) -> Tensor:
    return path.dynamics * log_policy(logits, path).sum().exp()


def rewards_of(path: Trajectory) -> Tensor:
    return REWARD[list(path.states), list(path.actions)]


def value_of(logits: Tensor) -> Tensor:
    """J by enumeration."""
    terms = []
    for path in ALL:
        discounts = GAMMA ** torch.arange(len(path.states), dtype=torch.float64)
        terms.append(chance(logits, path) * (discounts * rewards_of(path)).sum())
    return torch.stack(terms).sum()


def true_gradient(logits: Tensor) -> Tensor:
    at = logits.clone().requires_grad_()
    (found,) = torch.autograd.grad(value_of(at), at)
    return found


def columns_of(paths: list[Trajectory]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Trajectories as the columns of a rollout: states, actions, rewards, ends, each [2, 1, N]."""
    shape = (2, 1, len(paths))
    states, actions = torch.zeros(shape, dtype=torch.int64), torch.zeros(shape, dtype=torch.int64)
    rewards, ended = torch.zeros(shape, dtype=torch.float64), torch.zeros(shape, dtype=torch.bool)
    for n, path in enumerate(paths):
        for t in range(len(path.states)):
            states[t, 0, n], actions[t, 0, n] = path.states[t], path.actions[t]
            rewards[t, 0, n] = rewards_of(path)[t]
        ended[len(path.states) - 1, 0, n] = True
    return states, actions, rewards, ended


def gradient(
    paths: list[Trajectory],
    kind: str,
    pi: Tensor,
    mu: Tensor = MU,
    cap: float | None = None,
    normalise: bool = False,
    with_baseline: bool = False,
    discount_states: bool = True,
) -> Tensor:
    """The estimate of ∇J from trajectories that all have the same length, or from one."""
    states, actions, rewards, ended = columns_of(paths)
    length = len(paths[0].states)
    assert all(len(path.states) == length for path in paths)
    states, actions, rewards, ended = (part[:length] for part in (states, actions, rewards, ended))
    at = pi.clone().requires_grad_()
    log_pi = torch.log_softmax(at, -1)[states, actions]
    log_mu = torch.log_softmax(mu, -1)[states, actions]
    gamma = torch.tensor([[GAMMA]], dtype=torch.float64)
    baseline = BASELINE[states] if with_baseline else None
    advantages = returns_to_go(rewards, ended, gamma) - (0.0 if baseline is None else baseline)
    limit = None if cap is None else torch.full((1, 1), cap)
    weights = importance_weights(kind, (log_pi - log_mu).detach(), segments(ended), limit, normalise)
    coefficients = gradient_coefficients(
        weights, rewards, advantages, gamma, baseline, discount_states=discount_states
    )
    (found,) = torch.autograd.grad((coefficients * log_pi).sum() / len(paths), at)
    return found


def expected(kind: str, pi: Tensor = PI, **settings) -> Tensor:
    """E_μ of the estimate from one trajectory."""
    terms = [chance(MU, path) * gradient([path], kind, pi, **settings) for path in ALL]
    return torch.stack(terms).sum(0)


def test_the_problem_is_a_problem():
    for logits in (MU, PI):
        assert sum(chance(logits, path).item() for path in ALL) == pytest.approx(1.0)
    assert abs(value_of(PI) - value_of(MU)) > 0.1
    assert (true_gradient(PI) - true_gradient(MU)).abs().max() > 0.01
    assert len({len(path.states) for path in ALL}) == 2


# Which are unbiased


@pytest.mark.parametrize("with_baseline", [False, True])
@pytest.mark.parametrize("kind", ["trajectory", "per_decision"])
def test_whole_products_are_unbiased_with_and_without_a_baseline(kind, with_baseline):
    found = expected(kind, with_baseline=with_baseline)
    torch.testing.assert_close(found, true_gradient(PI), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", ["prefix", "per_step", "none"])
def test_partial_products_are_biased_off_policy(kind):
    assert (expected(kind) - true_gradient(PI)).abs().max() > 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_all_are_unbiased_on_policy(kind):
    found = expected(kind, pi=MU, with_baseline=True)
    torch.testing.assert_close(found, true_gradient(MU), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", ["per_decision", "prefix", "per_step", "none"])
def test_without_the_discount_of_states_it_is_another_gradient(kind):
    assert (expected(kind, pi=MU, discount_states=False) - true_gradient(MU)).abs().max() > 0.01


def test_a_baseline_adds_bias_only_where_nothing_corrects_the_action():
    for kind in KINDS:
        gap = (expected(kind, with_baseline=True) - expected(kind)).abs().max()
        assert (gap > 0.01) == (kind == "none"), kind


def test_the_bias_of_prefixes_is_the_value_of_mu_for_that_of_pi():
    """The first step's gradient holds Q^μ, weighed as π would; the second step's is exact."""
    found, exact = expected("prefix"), true_gradient(PI)
    torch.testing.assert_close(found[1:], exact[1:], rtol=1e-12, atol=1e-12)
    mixed = PI.clone()
    mixed[1:] = MU[1:]
    torch.testing.assert_close(found[0], true_gradient(mixed)[0], rtol=1e-12, atol=1e-12)
    assert (found[0] - exact[0]).abs().max() > 0.01


def test_the_bias_of_single_steps_is_also_the_states_of_mu():
    """The second step's gradient is exact for the problem whose first step is μ's."""
    found, exact = expected("per_step"), true_gradient(PI)
    mixed = PI.clone()
    mixed[0] = MU[0]
    torch.testing.assert_close(found[1:], true_gradient(mixed)[1:], rtol=1e-12, atol=1e-12)
    assert (found[1:] - exact[1:]).abs().max() > 0.01


@pytest.mark.parametrize("kind", ["trajectory", "per_decision"])
def test_a_cap_that_binds_is_biased(kind):
    assert (expected(kind, cap=1.2) - true_gradient(PI)).abs().max() > 0.01
    torch.testing.assert_close(expected(kind, cap=100.0), expected(kind))


def test_per_decision_varies_less_than_whole_trajectories():
    def variance(kind: str) -> float:
        mean = expected(kind)
        return sum(
            (chance(MU, path) * (gradient([path], kind, PI) - mean).square().sum()).item() for path in ALL
        )

    assert variance("per_decision") < variance("trajectory")


def self_normalised_value(paths: list[Trajectory]) -> float:
    """Σ w G / Σ w over trajectories, with the weights under test."""
    weights, returns = [], []
    for path in paths:
        ratio = (log_policy(PI, path) - log_policy(MU, path)).view(-1, 1, 1)
        ended = torch.zeros_like(ratio, dtype=torch.bool)
        ended[-1] = True
        weights.append(importance_weights("trajectory", ratio, segments(ended)).log[0, 0, 0])
        discounts = GAMMA ** torch.arange(len(path.states), dtype=torch.float64)
        returns.append((discounts * rewards_of(path)).sum())
    log = torch.stack(weights).view(1, 1, -1)
    parts = segments(torch.ones_like(log, dtype=torch.bool))
    weight = importance_weights("per_step", log, parts, None, self_normalise=True).log.exp().flatten()
    return (weight * torch.stack(returns)).mean().item()


def test_self_normalised_from_one_trajectory_its_expectation_is_the_value_of_mu():
    found = sum(chance(MU, path).item() * self_normalised_value([path]) for path in ALL)
    assert found == pytest.approx(value_of(MU).item(), rel=1e-12)
    assert abs(found - value_of(PI).item()) > 0.1


def test_self_normalised_from_more_it_moves_towards_the_value_of_pi():
    bias = []
    for count in (1, 2, 3):
        total = 0.0
        for paths in itertools.product(ALL, repeat=count):
            total += math.prod(chance(MU, path).item() for path in paths) * self_normalised_value(list(paths))
        bias.append(abs(total - value_of(PI).item()))
    assert bias[0] > bias[1] > bias[2] > 0.0


def test_the_trajectory_weight_of_one_self_normalised_is_one():
    for path, kind in itertools.product(ALL, ("trajectory", "per_decision")):
        ratio = (log_policy(PI, path) - log_policy(MU, path)).view(-1, 1, 1)
        parts = segments(torch.zeros_like(ratio, dtype=torch.bool))
        weights = importance_weights(kind, ratio, parts, None, self_normalise=True)
        torch.testing.assert_close(weights.log, torch.zeros_like(weights.log), rtol=0, atol=1e-15)


# At π = μ


LONG = [path for path in ALL if len(path.states) == 2]


def score_function(signal: str, baseline: Tensor | None = None) -> Tensor:
    """mean over trajectories of Σ_t ∇ log μ_t x_t by automatic gradients; x: full return, or that to go."""
    at = MU.clone().requires_grad_()
    terms = []
    for number, path in enumerate(LONG):
        rewards = rewards_of(path)
        to_go = torch.stack([rewards[0] + GAMMA * rewards[1], GAMMA * rewards[1]])
        signals = to_go[:1].expand(2) if signal == "full" else to_go
        if baseline is not None:
            signals = signals - baseline[number]
        terms.append((log_policy(at, path) * signals).sum())
    (found,) = torch.autograd.grad(torch.stack(terms).mean(), at)
    return found


def test_trajectory_weights_give_the_score_function_with_full_returns():
    torch.testing.assert_close(gradient(LONG, "trajectory", MU), score_function("full"))


@pytest.mark.parametrize("kind", ["per_decision", "prefix", "per_step", "none"])
def test_the_others_give_the_score_function_with_returns_to_go(kind):
    torch.testing.assert_close(gradient(LONG, kind, MU), score_function("to_go"))
    assert not torch.allclose(score_function("to_go"), score_function("full"))


def test_self_normalised_trajectories_subtract_the_batch_mean():
    returns = torch.stack([rewards_of(path)[0] + GAMMA * rewards_of(path)[1] for path in LONG])
    wanted = score_function("full", returns.mean().expand(len(LONG), 1))
    torch.testing.assert_close(gradient(LONG, "trajectory", MU, normalise=True), wanted)
    assert not torch.allclose(wanted, score_function("full"))


def test_self_normalised_decisions_subtract_the_mean_reward_of_each_age():
    means = torch.stack([rewards_of(path) for path in LONG]).mean(0)
    subtracted = torch.stack([means[0] + GAMMA * means[1], GAMMA * means[1]])
    wanted = score_function("to_go", subtracted.expand(len(LONG), 2))
    torch.testing.assert_close(gradient(LONG, "per_decision", MU, normalise=True), wanted)
    assert not torch.allclose(wanted, score_function("to_go"))


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_cap_above_one_changes_nothing_and_one_below_does(kind, normalise):
    free = gradient(LONG, kind, MU, normalise=normalise)
    assert torch.equal(gradient(LONG, kind, MU, cap=1.5, normalise=normalise), free)
    low = gradient(LONG, kind, MU, cap=0.5, normalise=normalise)
    # A cap below 1 halves every weight, which self-normalisation undoes.
    torch.testing.assert_close(low, free if normalise else 0.5 * free)


def test_the_square_root_cap_is_above_one_from_two_samples_on():
    *_, ended = columns_of(LONG)
    for kind in KINDS:
        cap = sqrt_cap(kind, segments(ended)).item()
        assert cap == pytest.approx(
            math.sqrt(len(LONG) if kind in ("trajectory", "per_decision") else 2 * len(LONG))
        )
        assert torch.equal(gradient(LONG, kind, MU, cap=cap), gradient(LONG, kind, MU))


def test_at_the_anchor_every_objective_has_the_gradient_of_the_score_function():
    """Ratio, clipped ratio, and ratio less a KL penalty in either direction; once π has moved they part."""
    draw = torch.Generator().manual_seed(0)
    logits, other = torch.randn(2, 1, 200, 3, dtype=torch.float64, generator=draw)
    actions = torch.randint(3, (1, 200), generator=draw)
    advantages = whiten(torch.randn(1, 200, dtype=torch.float64, generator=draw))
    anchor, clip, beta = Categorical(logits), torch.tensor(0.2), torch.full_like(advantages, 3.0)

    def gradients(policy: Categorical) -> dict[str, Tensor]:
        log_prob = policy.log_prob(actions)
        rho = (log_prob - anchor.log_prob(actions)).exp()

        def pulled(objective: Objective) -> Tensor:
            return policy.pullback(actions, objective.slope, None)[0]

        plain = pulled(importance_ratio(rho, advantages))
        return {
            "score": pulled(score(log_prob, advantages)),
            "ratio": plain,
            "clipped": pulled(clipped(rho, advantages, clip)),
            "kl_anchor_pi": plain - policy.pullback_kl_from(anchor, beta)[0],
            "kl_pi_anchor": plain - policy.pullback_kl_to(anchor, beta)[0],
        }

    here, moved = gradients(anchor), gradients(Categorical(logits + 0.5 * other))
    for name, found in here.items():
        torch.testing.assert_close(found, here["score"], rtol=1e-12, atol=1e-14)
        assert found.abs().max() > 0.1
        others = [moved[another] for another in moved if another != name]
        assert not any(torch.allclose(moved[name], part) for part in others)
