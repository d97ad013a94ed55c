"""Advantages against the definition, written as the double sum it is."""

from __future__ import annotations

import itertools

import pytest
import torch

from rlcli.maths.estimators import discounted_returns, gae, td_errors, whiten


def rollout(steps: int, runs: int, envs: int, ends: float, seed: int = 0):
    """Random rewards, values, values of successors [T, R, N], and every kind of end, also in the last row."""
    draw = torch.Generator().manual_seed(seed)
    rewards, values, next_values = torch.randn(3, steps, runs, envs, dtype=torch.float64, generator=draw)
    terminated = torch.rand(steps, runs, envs, generator=draw) < ends
    truncated = torch.rand(steps, runs, envs, generator=draw) < ends
    for kind, (end, cut) in enumerate(itertools.product((False, True), repeat=2)):
        terminated.view(steps, -1)[-1, kind::4] = end
        truncated.view(steps, -1)[-1, kind::4] = cut
    return rewards, values, next_values, terminated, truncated


def double_sum(rewards, values, next_values, terminated, truncated, gamma, trace_decay):
    """A_t = Σ_k (γλ)^k δ_{t+k} term by term, δ by its definition, up to and including the step that ends."""
    advantages = torch.zeros_like(rewards)
    for r, n in itertools.product(range(rewards.shape[1]), range(rewards.shape[2])):
        g, decay = float(gamma[r, 0]), float(gamma[r, 0] * trace_decay[r, 0])
        for start in range(len(rewards)):
            for t in range(start, len(rewards)):
                successor = 0.0 if terminated[t, r, n] else float(next_values[t, r, n])
                delta = float(rewards[t, r, n]) + g * successor - float(values[t, r, n])
                advantages[start, r, n] += decay ** (t - start) * delta
                if terminated[t, r, n] or truncated[t, r, n]:
                    break
    return advantages


@pytest.mark.broken_by(
    "a truncated episode leaks into the next",
    "maths/estimators.py",
    "decays = torch.where(terminated | truncated, 0.0, gamma * trace_decay)",
    "decays = torch.where(terminated, 0.0, gamma * trace_decay)",
)
@pytest.mark.broken_by(
    "the trace decay dropped",
    "maths/estimators.py",
    "decays = torch.where(terminated | truncated, 0.0, gamma * trace_decay)",
    "decays = torch.where(terminated | truncated, 0.0, gamma + 0.0 * trace_decay)",
)
@pytest.mark.parametrize(("steps", "runs", "envs"), [(17, 3, 4), (1, 2, 4), (9, 1, 1), (9, 4, 1), (30, 1, 8)])
@pytest.mark.parametrize("ends", [0.0, 0.15, 0.6])
def test_gae_is_the_double_sum(steps: int, runs: int, envs: int, ends: float):
    given = rollout(steps, runs, envs, ends, seed=steps)
    gamma = torch.linspace(0.99, 0.7, runs, dtype=torch.float64).unsqueeze(1)
    trace_decay = torch.linspace(0.95, 0.5, runs, dtype=torch.float64).unsqueeze(1)
    found = gae(*given, gamma, trace_decay)
    assert found.shape == given[0].shape
    torch.testing.assert_close(found, double_sum(*given, gamma, trace_decay), rtol=1e-12, atol=1e-12)


def test_every_kind_of_end_is_met_within_and_in_the_last_row():
    *_, terminated, truncated = rollout(17, 3, 4, 0.6)
    for rows in (slice(0, -1), slice(-1, None)):
        met = set(zip(terminated[rows].flatten().tolist(), truncated[rows].flatten().tolist(), strict=True))
        assert len(met) == 4


@pytest.mark.broken_by(
    "truncation merged into termination",
    "maths/estimators.py",
    "deltas = td_errors(rewards, values, next_values, terminated, gamma)\n    decays",
    "deltas = td_errors(rewards, values, next_values, terminated | truncated, gamma)\n    decays",
)
@pytest.mark.parametrize(("terminated", "truncated", "expected"), [
    (False, False, 1.0 + 0.9 * 7.0 - 2.0),
    (False, True, 1.0 + 0.9 * 7.0 - 2.0),
    (True, False, 1.0 - 2.0),
    (True, True, 1.0 - 2.0),
])  # fmt: skip
def test_a_truncation_bootstraps_and_a_termination_does_not(terminated, truncated, expected):
    one = [torch.tensor([[number]]) for number in (1.0, 2.0, 7.0, terminated, truncated)]
    advantage = gae(*one, torch.tensor([[0.9]]), torch.tensor([[0.5]]))
    assert advantage.item() == pytest.approx(expected, rel=1e-6)


def test_the_value_of_a_state_beyond_termination_is_never_read():
    nan = torch.tensor([float("nan")])
    assert td_errors(torch.ones(1), torch.zeros(1), nan, torch.tensor([True]), torch.tensor(0.9)) == 1.0


def time_limit_value(terminated: bool, trace_decay: float = 1.0) -> float:
    """The fixed point of V(s0) ← target of s0: reward 1, γ = 0.9, five steps, a state that shows no clock."""
    ends = torch.tensor([False] * 4 + [True]).view(5, 1, 1)
    never = torch.zeros_like(ends)
    kinds = (ends, never) if terminated else (never, ends)
    value = torch.zeros(5, 1, 1, dtype=torch.float64)
    ones = torch.ones_like(value)
    gamma = torch.tensor([[0.9]], dtype=torch.float64)
    for _ in range(200):
        targets = value + gae(ones, value, value, *kinds, gamma, torch.full_like(gamma, trace_decay))
        value = targets[:1].expand(5, 1, 1)
    return value[0].item()


def test_a_time_limit_that_terminates():
    assert time_limit_value(terminated=True) == pytest.approx(4.0951, abs=1e-12)


@pytest.mark.parametrize("trace_decay", [1.0, 0.9, 0.0])
def test_a_time_limit_that_truncates(trace_decay):
    assert time_limit_value(terminated=False, trace_decay=trace_decay) == pytest.approx(10.0, abs=1e-6)


def test_monte_carlo_with_bootstrap_is_gae_of_one_plus_the_value():
    rewards, values, next_values, terminated, truncated = rollout(12, 1, 5, 0.2)
    next_values[:-1] = torch.where(terminated | truncated, next_values, values.roll(-1, 0))[:-1]
    gamma = torch.tensor([[0.9]], dtype=torch.float64)
    targets = values + gae(rewards, values, next_values, terminated, truncated, gamma, torch.ones_like(gamma))
    future = next_values[-1]
    for t in reversed(range(12)):
        bootstrap = torch.where(truncated[t], next_values[t], future)
        future = rewards[t] + 0.9 * torch.where(terminated[t], 0.0, bootstrap)
        torch.testing.assert_close(targets[t], future)


@pytest.mark.broken_by(
    "the reward accumulator not reset",
    "maths/estimators.py",
    "carried = torch.where(end, 0.0, total)",
    "carried = total",
)
def test_discounted_returns_start_again_after_both_kinds_of_end():
    rewards, *_, terminated, truncated = rollout(40, 2, 4, 0.1)
    ended = terminated | truncated
    gamma = torch.tensor([[0.9], [0.5]], dtype=torch.float64)
    carried = torch.ones(2, 4, dtype=torch.float64)
    totals, last = discounted_returns(rewards, ended, gamma, carried)
    for r, n in itertools.product(range(2), range(4)):
        g, total = float(gamma[r, 0]), 1.0
        for t in range(40):
            total = g * total + float(rewards[t, r, n])
            assert totals[t, r, n].item() == pytest.approx(total, rel=1e-12)
            total = 0.0 if ended[t, r, n] else total
        assert last[r, n].item() == pytest.approx(total, rel=1e-12)


def test_discounted_returns_go_on_in_the_next_rollout():
    rewards, *_, terminated, truncated = rollout(20, 2, 3, 0.1)
    gamma, nothing = torch.tensor([[0.9], [0.5]], dtype=torch.float64), torch.zeros(2, 3, dtype=torch.float64)
    ended = terminated | truncated
    whole, last = discounted_returns(rewards, ended, gamma, nothing)
    first, carried = discounted_returns(rewards[:7], ended[:7], gamma, nothing)
    second, carried = discounted_returns(rewards[7:], ended[7:], gamma, carried)
    assert torch.equal(torch.cat((first, second)), whole)
    assert torch.equal(carried, last)


@pytest.mark.broken_by(
    "whitening by the sample deviation",
    "maths/estimators.py",
    "deviation = (centred * centred).mean(-1, keepdim=True).sqrt()",
    "deviation = ((centred * centred).sum(-1, keepdim=True) / (centred.shape[-1] - 1)).sqrt()",
)
@pytest.mark.parametrize("samples", [2, 3, 8, 100])
def test_whiten_divides_by_the_population_deviation(samples):
    advantages = 3.0 + 5.0 * torch.randn(4, samples, dtype=torch.float64)
    white = whiten(advantages)
    expected = (advantages.numpy() - advantages.numpy().mean(-1, keepdims=True)) / advantages.numpy().std(
        -1, keepdims=True, ddof=0
    )
    torch.testing.assert_close(white, torch.from_numpy(expected), rtol=1e-10, atol=1e-10)
    assert (white * white).mean(-1).tolist() == pytest.approx([1.0] * 4)


@pytest.mark.broken_by(
    "whitening over all runs",
    "maths/estimators.py",
    "centred = values - values.mean(-1, keepdim=True)",
    "centred = values - values.mean()",
)
def test_whiten_keeps_rows_apart():
    rows = torch.randn(3, 10)
    assert torch.equal(whiten(rows)[1], whiten(rows[1]))


@pytest.mark.parametrize("level", [0.0, 1.0, -3.7, 1e-20, 1e8, 0.1])
def test_constants_whiten_to_zero(level):
    assert (whiten(torch.full((2, 77), level)) == 0.0).all()


def test_rounding_on_a_large_constant_whitens_to_zero():
    rounding = 1000.0 + 1e-4 * torch.randn(2, 50)
    assert rounding.unique().numel() > 1
    assert (whiten(rounding) == 0.0).all()


def test_a_spread_on_a_large_shift_is_kept():
    spread = torch.randn(1, 64, dtype=torch.float64)
    torch.testing.assert_close(whiten(spread + 1e3), whiten(spread))
    assert torch.equal(whiten(spread * 1024.0), whiten(spread))


@pytest.mark.broken_by(
    "whitening that squares what is too large",
    "maths/estimators.py",
    "reduced, _ = _whitened(torch.ldexp(advantages, -peak.frexp().exponent), 0.0)",
    "reduced, _ = _whitened(advantages, 0.0)",
)
@pytest.mark.parametrize("size", [1e20, 3e38, 1e10, 1e308])
def test_what_is_so_large_that_its_square_is_infinite_is_whitened_as_anything_else(size):
    kind = torch.float64 if size > 1e39 else torch.float32
    assert whiten(torch.tensor([size, -size], dtype=kind)).tolist() == [1.0, -1.0]
    assert whiten(torch.tensor([size, size, size], dtype=kind)).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.broken_by(
    "whitening a row as it is because of its neighbour",
    "maths/estimators.py",
    "if finite.all():",
    "if finite.any():",
)
@pytest.mark.parametrize("power", [10, 60, 100])
def test_scaling_by_a_power_of_two_changes_no_digit_of_a_row_and_nothing_of_its_neighbour(power):
    rows = torch.randn(2, 500, generator=torch.Generator().manual_seed(0))
    both = whiten(torch.stack((rows[0] * 2.0**power, rows[1])))
    assert torch.equal(both, whiten(rows))
