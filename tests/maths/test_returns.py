"""n-step and Monte-Carlo returns against their definitions, written as explicit sums."""

from __future__ import annotations

import math

import pytest
import torch

from rlcli.maths.estimators import bootstrapped_rewards, gae, monte_carlo, nstep, returns_to_go, td_errors
from tests.maths.rollouts import SHAPES, alone, columns, per_run, rollout


def truncated_return(steps, gamma, n, start, column):
    """r_t + ... + γ^{m-1} r_{t+m-1} + γ^m V: m is n, or fewer where an end or the last row comes first."""
    rewards, _, next_values, terminated, truncated = (part[:, *column] for part in steps)
    total = 0.0
    for k in range(n):
        t = start + k
        total += gamma**k * float(rewards[t])
        if terminated[t]:
            return total
        if truncated[t] or t == len(rewards) - 1 or k == n - 1:
            return total + gamma ** (k + 1) * float(next_values[t])
    raise AssertionError


def slow(steps, gamma, n):
    found = torch.zeros_like(steps.rewards)
    for column in columns(found.shape):
        for start in range(len(found)):
            found[start, *column] = truncated_return(steps, float(gamma[column[0], 0]), n, start, column)
    return found


@pytest.mark.broken_by(
    "n-step returns across ends",
    "maths/estimators.py",
    "following = torch.where(ended, bootstrap[:-1], returns[1:])",
    "following = torch.where(ended & False, bootstrap[:-1], returns[1:])",
)
@pytest.mark.parametrize(("steps", "runs", "envs"), SHAPES)
@pytest.mark.parametrize("ends", [0.0, 0.15, 0.6])
def test_nstep_is_its_sum(steps, runs, envs, ends):
    given = rollout(steps, runs, envs, ends, seed=steps)
    # Where episodes go on, the bootstrap is the successor's value, whatever the next row's critic says.
    given = given._replace(next_values=torch.randn_like(given.next_values))
    gamma = per_run(runs, 0.99, 0.7)
    for n in (1, 2, 5, 16, 17, 40):
        found = nstep(*given, gamma, n)
        torch.testing.assert_close(found, slow(given, gamma, n) - given.values, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("steps", "runs", "envs"), SHAPES)
@pytest.mark.parametrize("ends", [0.0, 0.15, 0.6])
def test_monte_carlo_is_its_sum(steps, runs, envs, ends):
    given = rollout(steps, runs, envs, ends, seed=steps)
    gamma = per_run(runs, 0.99, 0.7)
    found = monte_carlo(*given, gamma)
    torch.testing.assert_close(found, slow(given, gamma, steps + 1), rtol=1e-12, atol=1e-12)


def test_one_step_is_the_td_error_and_all_steps_the_monte_carlo_return():
    given = rollout(12, 2, 4, 0.15)
    gamma = per_run(2, 0.99, 0.8)
    deltas = td_errors(given.rewards, given.values, given.next_values, given.terminated, gamma)
    torch.testing.assert_close(nstep(*given, gamma, 1), deltas, rtol=1e-14, atol=1e-14)
    torch.testing.assert_close(nstep(*given, gamma, 12), monte_carlo(*given, gamma) - given.values)
    # Between the two it is neither.
    assert not torch.allclose(nstep(*given, gamma, 3), deltas)
    assert not torch.allclose(nstep(*given, gamma, 3), monte_carlo(*given, gamma) - given.values)


def test_monte_carlo_with_bootstrap_is_gae_of_one_plus_the_value():
    given = rollout(25, 3, 4, 0.1)
    gamma = per_run(3, 1.0, 0.7)
    wanted = gae(*given, gamma, torch.ones_like(gamma)) + given.values
    torch.testing.assert_close(monte_carlo(*given, gamma), wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("terminated", "truncated", "following"), [
    (False, False, 7.0), (False, True, 7.0), (True, False, 0.0), (True, True, 0.0),
])  # fmt: skip
def test_each_end_in_the_last_row(terminated, truncated, following):
    one = [torch.tensor([[number]]) for number in (1.0, 2.0, 7.0, terminated, truncated)]
    gamma = torch.tensor([[0.9]])
    assert monte_carlo(*one, gamma).item() == pytest.approx(1.0 + 0.9 * following)
    for n in (1, 4):
        assert nstep(*one, gamma, n).item() == pytest.approx(1.0 + 0.9 * following - 2.0)


def test_what_a_bootstrap_adds_to_rewards():
    rewards = torch.zeros(4, 1, 4)
    next_values = torch.full_like(rewards, 10.0)
    terminated = torch.zeros(4, 1, 4, dtype=torch.bool)
    truncated = terminated.clone()
    terminated[1, 0] = torch.tensor([True, False, True, False])
    truncated[1, 0] = torch.tensor([False, True, True, False])
    terminated[3, 0] = torch.tensor([True, False, False, False])
    found = bootstrapped_rewards(rewards, next_values, terminated, truncated, torch.tensor([[0.5]]))
    assert found[1, 0].tolist() == [0.0, 5.0, 0.0, 0.0]
    assert found[3, 0].tolist() == [0.0, 5.0, 5.0, 5.0]
    assert (found[[0, 2]] == 0.0).all()


def test_returns_to_go_stop_at_an_end():
    rewards = torch.tensor([1.0, 2.0, 4.0, 8.0]).view(4, 1, 1)
    ended = torch.tensor([False, True, False, False]).view(4, 1, 1)
    assert returns_to_go(rewards, ended, torch.tensor([[0.5]])).flatten().tolist() == [2.0, 2.0, 8.0, 8.0]


def time_limit_value(estimate, terminated: bool) -> float:
    """The fixed point of V(s0) ← its target: reward 1, γ = 0.9, five steps, a state that shows no clock."""
    ends = torch.tensor([False] * 4 + [True]).view(5, 1, 1)
    never = torch.zeros_like(ends)
    kinds = (ends, never) if terminated else (never, ends)
    value = torch.zeros(5, 1, 1, dtype=torch.float64)
    gamma = torch.tensor([[0.9]], dtype=torch.float64)
    for _ in range(300):
        value = estimate(torch.ones_like(value), value, value, *kinds, gamma)[:1].expand(5, 1, 1)
    return value[0].item()


@pytest.mark.parametrize("estimate", [
    monte_carlo, lambda rewards, values, *rest: values + nstep(rewards, values, *rest, 5),
])  # fmt: skip
def test_time_limits(estimate):
    assert time_limit_value(estimate, terminated=True) == pytest.approx(4.0951, abs=1e-12)
    assert time_limit_value(estimate, terminated=False) == pytest.approx(10.0, abs=1e-6)


def test_the_value_of_a_state_beyond_termination_is_never_read():
    given = rollout(10, 1, 4, 0.3)
    beyond = given._replace(next_values=torch.where(given.terminated, math.nan, given.next_values))
    gamma = per_run(1, 0.9, 0.9)
    assert given.terminated[:-1].any()
    assert given.terminated[-1].any()
    assert torch.equal(nstep(*beyond, gamma, 3), nstep(*given, gamma, 3))
    assert torch.equal(monte_carlo(*beyond, gamma), monte_carlo(*given, gamma))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("envs", [1, 3, 8, 17])
def test_runs_together_equal_each_alone(envs, dtype):
    parts = [part.to(dtype) if part.is_floating_point() else part for part in rollout(13, 5, envs, 0.1)]
    gamma = per_run(5, 0.99, 0.8).to(dtype)
    for estimate in (monte_carlo, lambda *given: nstep(*given, 5)):
        whole = estimate(*parts, gamma)
        for members in ([0], [4], [1, 3]):
            assert torch.equal(estimate(*alone(members, *parts), gamma[members]), whole[:, members])
