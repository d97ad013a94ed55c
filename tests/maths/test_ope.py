"""Off-policy estimators against exact expectations: every episode, and every pair, of a small process."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from rlcli.maths import ope
from rlcli.maths.ope import ESTIMATORS, LOG_WEIGHTS, WITH_VALUES, Episodes

GAMMA, HORIZON = 0.9, 3
START = (0.6, 0.4)
BEHAVIOUR = torch.tensor([[0.5, 0.5], [0.7, 0.3]], dtype=torch.float64)
TARGET = torch.tensor([[0.8, 0.2], [0.4, 0.6]], dtype=torch.float64)
REWARDS = ((1.0, -0.5), (2.0, 0.25))
MOVES = {
    (0, 0): {0: 0.3, 1: 0.5, None: 0.2},
    (0, 1): {1: 1.0},
    (1, 0): {0: 0.9, None: 0.1},
    (1, 1): {0: 0.5, 1: 0.5},
}
"""Next states of each state and action; None ends the episode."""
WRONG_VALUES = torch.tensor([[[3.0, -1.0], [0.5, 2.0]]] * HORIZON, dtype=torch.float64)
"""Action values [H, S, A] that have nothing to do with the process."""


def walks(state: int, left: int) -> list[tuple[list[tuple[int, int]], float]]:
    """All continuations from a state: pairs of (state, action) with the probability of their moves."""
    found = []
    for action in (0, 1):
        for after, chance in MOVES[state, action].items():
            if after is None or left == 1:
                found.append(([(state, action)], chance))
            else:
                found += [([(state, action), *rest], chance * more) for rest, more in walks(after, left - 1)]
    merged: dict[tuple[tuple[int, int], ...], float] = {}
    for steps, chance in found:
        merged[tuple(steps)] = merged.get(tuple(steps), 0.0) + chance
    return [(list(steps), chance) for steps, chance in merged.items()]


def process() -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Every episode: states, actions, presence [n, H], probabilities under mu and pi [n]."""
    everything = [
        (steps, START[start] * chance) for start in (0, 1) for steps, chance in walks(start, HORIZON)
    ]
    states = torch.zeros(len(everything), HORIZON, dtype=torch.int64)
    actions, present = torch.zeros_like(states), torch.zeros(states.shape, dtype=torch.bool)
    chances = torch.zeros(2, len(everything), dtype=torch.float64)
    for row, (steps, moves) in enumerate(everything):
        for time, (state, action) in enumerate(steps):
            states[row, time], actions[row, time], present[row, time] = state, action, True
        for side, policy in enumerate((BEHAVIOUR, TARGET)):
            chances[side, row] = moves * math.prod(policy[s, a].item() for s, a in steps)
    assert chances.sum(1).tolist() == pytest.approx([1.0, 1.0], abs=1e-14)
    return states, actions, present, chances[0], chances[1]


STATES, ACTIONS, PRESENT, UNDER_MU, UNDER_PI = process()


def episodes(chosen: Tensor | None = None, values: Tensor = WRONG_VALUES) -> Episodes:
    rewards = torch.tensor(REWARDS, dtype=torch.float64)[STATES, ACTIONS]
    log_ratios = (TARGET[STATES, ACTIONS] / BEHAVIOUR[STATES, ACTIONS]).log()
    times = torch.arange(HORIZON).expand_as(STATES)
    of_actions = values[times, STATES, ACTIONS]
    of_states = (TARGET * values).sum(-1)[times, STATES]
    zero = torch.zeros((), dtype=torch.float64)
    parts = (torch.where(PRESENT, part, zero) for part in (log_ratios, rewards, of_actions, of_states))
    ratios, earned, of_actions, of_states = parts
    every = Episodes(ratios, earned, PRESENT, GAMMA, of_actions, of_states, STATES)
    return every if chosen is None else every.take(chosen)


def true_values() -> Tensor:
    """Q^pi [H, S, A] by backward induction, written from Bellman's equation."""
    found = torch.zeros(HORIZON + 1, 2, 2, dtype=torch.float64)
    for time in reversed(range(HORIZON)):
        for (state, action), moves in MOVES.items():
            future = sum(
                chance * (TARGET[after] * found[time + 1, after]).sum().item()
                for after, chance in moves.items()
                if after is not None
            )
            found[time, state, action] = REWARDS[state][action] + GAMMA * future
    return found[:HORIZON]


def true_return() -> float:
    values = (TARGET * true_values()[0]).sum(-1)
    return sum(START[s] * values[s].item() for s in (0, 1))


def alone(row: int, values: Tensor = WRONG_VALUES) -> Episodes:
    return episodes(torch.tensor([row]), values)


def expectation(estimator: Callable[[Episodes], Tensor], values: Tensor = WRONG_VALUES) -> float:
    """The exact mean of an estimator of one episode."""
    found = [UNDER_MU[row] * estimator(alone(row, values)) for row in range(len(UNDER_MU))]
    return sum(found).item()


def expectation_of_two(estimator: Callable[[Episodes], Tensor]) -> float:
    """The exact mean of an estimator of two independent episodes."""
    rows = range(len(UNDER_MU))
    return sum(
        (UNDER_MU[a] * UNDER_MU[b] * estimator(episodes(torch.tensor([a, b])))).item()
        for a, b in itertools.product(rows, rows)
    )


def test_the_true_return_is_that_of_all_episodes_under_the_target() -> None:
    assert true_return() == pytest.approx((UNDER_PI * episodes().returns).sum().item(), abs=1e-12)


@pytest.mark.broken_by(
    "a discount too many",
    "maths/ope.py",
    "* states)).sum(-1).mean()",
    "* states)).sum(-1).mean() * episodes.gamma",
)
@pytest.mark.parametrize("name", ["is", "per_decision", "doubly_robust"])
def test_unbiased_estimators_have_the_true_return_as_their_mean(name: str) -> None:
    assert expectation(ESTIMATORS[name]) == pytest.approx(true_return(), abs=1e-12)
    assert expectation_of_two(ESTIMATORS[name]) == pytest.approx(true_return(), abs=1e-12)


def test_variances_are_those_written_out() -> None:
    """Var_mu[rho G] = E_pi[rho G^2] - J^2, and the variance of two is half of it."""
    every = episodes()
    weights = UNDER_PI / UNDER_MU
    written = (UNDER_PI * weights * every.returns**2).sum().item() - true_return() ** 2
    squares = sum((UNDER_MU[row] * ope.ordinary(alone(row)) ** 2).item() for row in range(len(UNDER_MU)))
    assert squares - true_return() ** 2 == pytest.approx(written, abs=1e-12)


def test_per_decision_and_doubly_robust_vary_less() -> None:
    def variance(name: str, values: Tensor = WRONG_VALUES) -> float:
        squares = expectation(lambda one: ESTIMATORS[name](one) ** 2, values)
        return squares - true_return() ** 2

    assert variance("per_decision") < variance("is")
    assert variance("doubly_robust", true_values()) < variance("per_decision")


def test_true_values_leave_only_the_variance_of_the_process() -> None:
    """With Q^pi, doubly robust weighs temporal differences: where moves are certain they are 0."""
    assert expectation(ope.direct, true_values()) == pytest.approx(true_return(), abs=1e-12)
    assert expectation(ope.doubly_robust, true_values()) == pytest.approx(true_return(), abs=1e-12)


def test_the_weighted_estimate_of_one_episode_is_its_own_return() -> None:
    mean = (UNDER_MU * episodes().returns).sum().item()
    assert expectation(ope.weighted) == pytest.approx(mean, abs=1e-12)
    assert expectation(ope.weighted_per_decision) == pytest.approx(mean, abs=1e-12)


@pytest.mark.broken_by(
    "a mean of shares instead of shares of the sum",
    "maths/ope.py",
    "(episodes.log_weights.softmax(0) * episodes.returns).sum()",
    "(episodes.log_weights.exp() * episodes.returns).mean()",
)
def test_the_weighted_estimate_of_two_has_its_exact_mean() -> None:
    returns, weights = episodes().returns, UNDER_PI / UNDER_MU
    written = 0.0
    for a, b in itertools.product(range(len(returns)), repeat=2):
        total = weights[a] * returns[a] + weights[b] * returns[b]
        written += (UNDER_MU[a] * UNDER_MU[b] * total / (weights[a] + weights[b])).item()
    found = expectation_of_two(ope.weighted)
    assert found == pytest.approx(written, abs=1e-12)
    assert abs(found - true_return()) > 1e-3


@pytest.mark.broken_by(
    "ended episodes leave the denominator",
    "maths/ope.py",
    "shares = episodes.log_prefixes.softmax(0)",
    "shares = episodes.log_prefixes.where(episodes.present, -math.inf).softmax(0).nan_to_num(0.0)",
)
def test_weighted_per_decision_of_two_keeps_ended_weights() -> None:
    every = episodes()
    ratios = torch.where(PRESENT, TARGET[STATES, ACTIONS] / BEHAVIOUR[STATES, ACTIONS], torch.ones(()))
    prefixes = ratios.double().cumprod(-1)
    written = 0.0
    for a, b in itertools.product(range(len(UNDER_MU)), repeat=2):
        estimate = 0.0
        for time in range(HORIZON):
            above = prefixes[a, time] * every.rewards[a, time] + prefixes[b, time] * every.rewards[b, time]
            estimate += GAMMA**time * (above / (prefixes[a, time] + prefixes[b, time])).item()
        written += (UNDER_MU[a] * UNDER_MU[b]).item() * estimate
    assert expectation_of_two(ope.weighted_per_decision) == pytest.approx(written, abs=1e-12)


def test_weighted_doubly_robust_of_equal_policies_is_doubly_robust() -> None:
    same = episodes()._replace(log_ratios=torch.zeros_like(episodes().log_ratios))
    assert ope.weighted_doubly_robust(same).item() == pytest.approx(ope.doubly_robust(same).item(), abs=1e-12)


@pytest.mark.broken_by(
    "weights of later steps for the values",
    "maths/ope.py",
    "torch.full_like(now[:, :1], 1.0 / len(now)), now[:, :-1]], -1)",
    "torch.full_like(now[:, :1], 1.0 / len(now)), now[:, 1:]], -1)",
)
def test_weighted_doubly_robust_of_two_has_its_exact_mean() -> None:
    every = episodes()
    assert every.action_values is not None
    assert every.state_values is not None
    prefixes = every.log_prefixes.exp()
    written = 0.0
    for pair in itertools.product(range(len(UNDER_MU)), repeat=2):
        estimate = 0.0
        for time in range(HORIZON):
            now = sum(prefixes[row, time] for row in pair)
            before = 2.0 if time == 0 else sum(prefixes[row, time - 1] for row in pair)
            for row in pair:
                weight = prefixes[row, time] / now
                earlier = (1.0 if time == 0 else prefixes[row, time - 1]) / before
                surprise = every.rewards[row, time] - every.action_values[row, time]
                estimate += GAMMA**time * (weight * surprise + earlier * every.state_values[row, time]).item()
        written += (UNDER_MU[pair[0]] * UNDER_MU[pair[1]]).item() * estimate
    assert expectation_of_two(ope.weighted_doubly_robust) == pytest.approx(written, abs=1e-12)


@pytest.mark.parametrize("cap", [0.5, 1.0, 2.0])
def test_truncation_has_its_exact_bias_within_the_bound(cap: float) -> None:
    weights, returns = UNDER_PI / UNDER_MU, episodes().returns
    written = (UNDER_MU * weights.clamp(max=cap) * returns).sum().item()
    assert expectation(lambda one: ope.truncated(one, cap)) == pytest.approx(written, abs=1e-12)
    lost = (UNDER_MU * (weights - cap).clamp(min=0)).sum().item()
    assert abs(written - true_return()) <= returns.abs().max().item() * lost + 1e-12
    kept = expectation(lambda one: ope.truncated(one._replace(rewards=first_of(one)), cap))
    assert lost == pytest.approx(1.0 - kept, abs=1e-12)  # E[(rho - c)+] = 1 - E[min(rho, c)]
    found = ope.truncation_bias(as_frequent_as_under_mu(), cap).item()
    assert found == pytest.approx(returns.abs().max().item() * lost, abs=1e-3)


def first_of(one: Episodes) -> Tensor:
    """Rewards of 1 in all: every return is 1."""
    rewards = torch.zeros_like(one.rewards)
    rewards[:, 0] = 1.0
    return rewards


def as_frequent_as_under_mu() -> Episodes:
    copies = (UNDER_MU * 200_000).round().long()
    return episodes(torch.repeat_interleave(torch.arange(len(copies)), copies))


@pytest.mark.broken_by(
    "weights below the cap show no bias",
    "maths/ope.py",
    "(1.0 - _log_capped",
    "(episodes.log_weights.exp().mean() - _log_capped",
)
def test_weights_below_the_cap_may_hide_a_bias() -> None:
    """The largest weights are missing from the sample: what their absence takes from the mean of 1 shows."""
    weights = UNDER_PI / UNDER_MU
    few = episodes((weights < 0.9).nonzero().squeeze(-1))
    lost = 1.0 - weights[weights < 0.9].mean().item()
    assert lost > 0.1
    written = few.returns.abs().max().item() * lost
    assert ope.truncation_bias(few, 1.0).item() == pytest.approx(written, abs=1e-12)
    many = episodes((weights > 1.5).nonzero().squeeze(-1))
    assert ope.truncation_bias(many, 1.2).item() == 0.0


def test_the_cap_is_the_root_of_the_number_of_episodes() -> None:
    many = episodes(torch.arange(len(UNDER_MU)))
    root = math.sqrt(len(UNDER_MU))
    assert ope.truncated(many).item() == pytest.approx(ope.truncated(many, root).item(), abs=1e-15)


def test_at_the_behaviour_policy_all_are_the_mean_return() -> None:
    same = episodes()._replace(log_ratios=torch.zeros_like(episodes().log_ratios))
    for name in ("is", "per_decision", "weighted", "weighted_per_decision", "truncated"):
        assert ESTIMATORS[name](same).item() == pytest.approx(same.returns.mean().item(), abs=1e-12)
    for name, log_weights in LOG_WEIGHTS.items():
        assert ope.effective_episodes(log_weights(same)).tolist() == pytest.approx(
            [len(UNDER_MU)] * log_weights(same).shape[1], abs=1e-9
        ), name


@pytest.mark.parametrize("name", ["is", "per_decision", "truncated", "marginalised"])
def test_estimates_are_means_with_their_weights(name: str) -> None:
    """(1/n) sum of w_t gamma^t r_t, with the weights whose figures are shown."""
    every = episodes()
    written = (LOG_WEIGHTS[name](every).exp() * every.discounts * every.rewards).sum(-1).mean()
    assert ESTIMATORS[name](every).item() == pytest.approx(written.item(), abs=1e-12)
    assert set(LOG_WEIGHTS) == set(ESTIMATORS) - {"direct"}


def test_effective_episodes_are_of_each_step() -> None:
    weights = torch.tensor([[1.0, 3.0], [1.0, 1.0], [1.0, 0.0]], dtype=torch.float64)
    assert ope.effective_episodes(weights.log()).tolist() == pytest.approx([3.0, 16.0 / 10.0])
    assert ope.effective_episodes(weights.log() + 1e5).tolist() == pytest.approx([3.0, 16.0 / 10.0])


def test_marginalised_weights_give_the_model_s_own_answer() -> None:
    """Of episodes as frequent as under mu, the averages are the process: the answer is exact."""
    found = ope.marginalised(as_frequent_as_under_mu())
    assert found.item() == pytest.approx(true_return(), abs=2e-4)


@pytest.mark.broken_by(
    "products of ratios instead of one",
    "maths/ope.py",
    "(arrived[at] / visits[at]) * ratios[here, time]",
    "weights[here] * ratios[here, time]",
)
def test_of_two_episodes_it_is_the_model_of_the_two() -> None:
    """Frequencies, transitions and rewards of two episodes, as a process of its own."""
    every, found = episodes(), []
    for pair in itertools.product(range(len(UNDER_MU)), repeat=2):
        reached = {int(STATES[row, 0]): 0.0 for row in pair}
        for row in pair:
            reached[int(STATES[row, 0])] += 0.5
        value = 0.0
        for time in range(HORIZON):
            after: dict[int, float] = {}
            for state, chance in reached.items():
                here = [row for row in pair if PRESENT[row, time] and STATES[row, time] == state]
                for row in here:
                    weight = chance * every.log_ratios[row, time].exp().item() / len(here)
                    value += GAMMA**time * weight * every.rewards[row, time].item()
                    if time + 1 < HORIZON and PRESENT[row, time + 1]:
                        onward = int(STATES[row, time + 1])
                        after[onward] = after.get(onward, 0.0) + weight
            reached = after
        found.append(value)
        mine = ope.marginalised(every.take(torch.tensor(pair))).item()
        assert mine == pytest.approx(value, abs=1e-12)
    assert len(set(found)) > 100


def test_states_are_asked_for() -> None:
    with pytest.raises(ValueError, match="states"):
        ope.marginalised(episodes()._replace(states=None))


@pytest.mark.broken_by(
    "a bound without its number of episodes",
    "maths/ope.py",
    "(delta * len(episodes.returns))",
    "delta",
)
def test_the_lower_bound_is_cantelli_s() -> None:
    draw = torch.Generator().manual_seed(0)
    drawn = [torch.multinomial(UNDER_MU, 50, replacement=True, generator=draw) for _ in range(200)]
    below = sum(ope.lower_bound(episodes(chosen), 0.95).item() <= true_return() for chosen in drawn)
    assert below >= 190
    nine = episodes(torch.arange(9))
    second = (2 * nine.log_weights).exp().mean().item()
    assert second > 1.0
    root = math.sqrt(0.95 / (0.05 * 9) * second)
    written = ope.ordinary(nine).item() - nine.returns.abs().max().item() * root
    assert ope.lower_bound(nine, 0.95).item() == pytest.approx(written, abs=1e-12)


@pytest.mark.broken_by(
    "a second moment below 1", "maths/ope.py", ".exp().mean().clamp(min=1.0)", ".exp().mean()"
)
def test_the_second_moment_is_at_least_1() -> None:
    """Weights that vanish in the sample do not make the bound sharper."""
    weights = UNDER_PI / UNDER_MU
    few = episodes((weights < 0.9).nonzero().squeeze(-1))
    assert (2 * few.log_weights).exp().mean().item() < 1.0
    root = math.sqrt(0.95 / (0.05 * len(few.returns)))
    written = ope.ordinary(few).item() - few.returns.abs().max().item() * root
    assert ope.lower_bound(few, 0.95).item() == pytest.approx(written, abs=1e-12)


@pytest.mark.broken_by(
    "a bound by the largest return, negative or not",
    "maths/ope.py",
    "episodes.returns.abs().max() * spread",
    "episodes.returns.max() * spread",
)
def test_negative_returns_have_a_lower_bound() -> None:
    """All returns negative: the bound is below the true return, by as much as with the opposite signs."""
    positive = as_frequent_as_under_mu()
    positive = positive._replace(rewards=positive.rewards.abs())
    negative = positive._replace(rewards=-positive.rewards)
    assert (negative.returns < 0).all()
    width = ope.ordinary(positive) - ope.lower_bound(positive, 0.95)
    assert width.item() > 0
    assert (ope.ordinary(negative) - ope.lower_bound(negative, 0.95)).item() == pytest.approx(width.item())


@pytest.mark.parametrize("name", WITH_VALUES)
def test_values_are_asked_for(name: str) -> None:
    with pytest.raises(ValueError, match="values"):
        ESTIMATORS[name](episodes()._replace(action_values=None))
