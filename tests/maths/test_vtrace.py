"""V-trace against the paper's sum, term by term with explicit products; its identities and fixed points."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from rlcli.maths.estimators import capped, gae, td_errors, vtrace
from tests.maths.rollouts import SHAPES, alone, columns, log_ratios, per_run, rollout


def corrected(steps, log_rhos, gamma, trace_decay, rho_bar, c_bar, column):
    """One column's v_s, r_s + γ v_{s+1} - V and ρ_s by equation 1 of the paper, every product written out."""
    rewards, values, next_values, terminated, truncated = (
        [float(x) for x in part[:, *column]] for part in steps
    )
    ratios = [math.exp(float(x)) for x in log_rhos[:, *column]]
    horizon = len(rewards)

    def beyond(t):
        return 0.0 if terminated[t] else next_values[t]

    targets = []
    for s in range(horizon):
        target = values[s]
        for t in range(s, horizon):
            traces = math.prod(trace_decay * min(c_bar, ratios[i]) for i in range(s, t))
            delta = min(rho_bar, ratios[t]) * (rewards[t] + gamma * beyond(t) - values[t])
            target += gamma ** (t - s) * traces * delta
            if terminated[t] or truncated[t]:
                break
        targets.append(target)
    advantages = []
    for s in range(horizon):
        cut = terminated[s] or truncated[s] or s == horizon - 1
        following = beyond(s) if cut else targets[s + 1]
        advantages.append(rewards[s] + gamma * following - values[s])
    return targets, advantages, [min(rho_bar, ratio) for ratio in ratios]


@pytest.mark.parametrize(("steps", "runs", "envs"), SHAPES)
@pytest.mark.parametrize("ends", [0.0, 0.15, 0.6])
@pytest.mark.parametrize(
    ("rho_bar", "c_bar"), [(1.0, 1.0), (3.0, 0.5), (math.inf, 1.5), (math.inf, math.inf)]
)
def test_vtrace_is_the_double_sum(steps, runs, envs, ends, rho_bar, c_bar):
    given = rollout(steps, runs, envs, ends, seed=steps)
    logs = log_ratios(steps, runs, envs)
    gamma, trace_decay = per_run(runs, 0.99, 0.7), per_run(runs, 1.0, 0.5)
    # Caps differ between runs too.
    bars = [per_run(runs, bar, bar + runs - 1.0) if bar < math.inf else per_run(runs, bar, bar).fill_(bar)
            for bar in (rho_bar, c_bar)]  # fmt: skip
    found = vtrace(logs, *given, gamma, trace_decay, *bars)
    for column in columns(logs.shape):
        numbers = (float(part[column[0], 0]) for part in (gamma, trace_decay, *bars))
        for part, wanted in zip(found, corrected(given, logs, *numbers, column), strict=True):
            assert part[:, *column].tolist() == pytest.approx(wanted, rel=1e-11, abs=1e-11)


@pytest.mark.broken_by(
    "the policy gradient by V-trace's cap of values",
    "maths/estimators.py",
    "for_policy = ratios if rho_bar_pg is None else capped(rhos, rho_bar_pg)",
    "for_policy = ratios",
)
def test_the_policy_gradient_has_a_cap_of_its_own():
    """Nothing else depends on it: not the targets, not the advantages before they are weighed."""
    given, logs = rollout(17, 2, 4, 0.15), log_ratios(17, 2, 4)
    numbers = [per_run(2, *ends) for ends in ((0.99, 0.8), (0.95, 0.9), (1.0, 1.5), (1.0, 0.8))]
    own = per_run(2, 2.0, 3.0)
    found, plain = vtrace(logs, *given, *numbers, own), vtrace(logs, *given, *numbers)
    assert torch.equal(found.targets, plain.targets)
    assert torch.equal(found.advantages, plain.advantages)
    for run, cap in enumerate((2.0, 3.0)):
        assert torch.equal(found.ratios[:, run], logs[:, run].exp().clamp(max=cap))
    assert not torch.equal(found.ratios, plain.ratios)
    same = vtrace(logs, *given, *numbers, numbers[2])
    assert all(torch.equal(one, two) for one, two in zip(same, plain, strict=True))


@pytest.mark.broken_by(
    "a mixture that bootstraps from the target alone",
    "maths/estimators.py",
    "share = gamma * trace_decay if mixes else gamma",
    "share = gamma",
)
@pytest.mark.parametrize("ends", [0.0, 0.15, 0.6])
def test_the_bootstrap_that_mixes_target_and_value(ends):
    """r + γ (λ v_{s+1} + (1 - λ) V_{s+1}) - V_s, step by step; cut, it bootstraps from V alone."""
    given, logs = rollout(17, 2, 4, ends), log_ratios(17, 2, 4)
    gamma, decay, one = per_run(2, 0.99, 0.8), per_run(2, 0.9, 0.4), per_run(2, 1.0, 1.0)
    found = vtrace(logs, *given, gamma, decay, one, one, mixes=True)
    plain = vtrace(logs, *given, gamma, decay, one, one)
    assert torch.equal(found.targets, plain.targets)
    rewards, values, next_values, terminated, truncated = given
    for s, run, env in itertools.product(range(17), range(2), range(4)):
        here = s, run, env
        mixed = 0.0 if terminated[here] else next_values[here]
        if s < 16 and not (terminated[here] or truncated[here]):
            share = decay[run, 0]
            mixed = share * plain.targets[s + 1, run, env] + (1 - share) * values[s + 1, run, env]
        wanted = rewards[here] + gamma[run, 0] * mixed - values[here]
        assert found.advantages[here].item() == pytest.approx(float(wanted), rel=1e-11, abs=1e-11)


def test_on_policy_the_mixture_is_gae_whatever_lambda():
    given = rollout(20, 2, 4, 0.15)
    gamma, decay = per_run(2, 0.99, 0.8), per_run(2, 0.9, 0.3)
    one = torch.ones_like(gamma)
    found = vtrace(torch.zeros_like(given.rewards), *given, gamma, decay, one, one, mixes=True)
    torch.testing.assert_close(found.advantages, gae(*given, gamma, decay), rtol=1e-12, atol=1e-12)


def test_the_comparison_crosses_every_cap_and_meets_every_end():
    ratios = log_ratios(17, 3, 4).exp()
    assert ratios.min() < 0.1
    assert ratios.max() > 11.0
    for bar in (0.5, 1.0, 1.5, 3.0):
        assert 0.1 < (ratios > bar).double().mean() < 0.9
    *_, terminated, truncated = rollout(17, 3, 4, 0.6, seed=17)
    for rows in (slice(0, -1), slice(-1, None)):
        met = set(zip(terminated[rows].flatten().tolist(), truncated[rows].flatten().tolist(), strict=True))
        assert len(met) == 4


@pytest.mark.parametrize("trace_decay", [0.0, 0.9, 1.0])
def test_on_policy_it_is_gae(trace_decay):
    given = rollout(20, 2, 4, 0.15)
    gamma = per_run(2, 0.99, 0.8)
    decay, one = torch.full_like(gamma, trace_decay), torch.ones_like(gamma)
    found = vtrace(torch.zeros_like(given.rewards), *given, gamma, decay, one, one)
    wanted = gae(*given, gamma, decay)
    torch.testing.assert_close(found.targets - given.values, wanted, rtol=1e-12, atol=1e-12)
    assert (found.ratios == 1.0).all()
    ended = given.terminated | given.truncated
    following = torch.where(ended, 0.0, wanted.roll(-1, 0))
    following[-1] = 0.0
    deltas = td_errors(given.rewards, given.values, given.next_values, given.terminated, gamma)
    torch.testing.assert_close(found.advantages, deltas + gamma * following, rtol=1e-12, atol=1e-12)
    same = torch.allclose(found.advantages, wanted)
    assert same == (trace_decay == 1.0)


def fixed_point(rho_bar: float, c_bar: float) -> float:
    """V of one state that is its own successor, γ = 0.9, rewards (1, 0), π = (.9, .1), μ = (.5, .5).

    The expected target of V, over every pair of actions a rollout of two steps can hold, is repeated until it
    stands.
    """
    pi, mu, rewards = (0.9, 0.1), (0.5, 0.5), (1.0, 0.0)
    pairs = [(a, b) for a in range(2) for b in range(2)]
    log_rhos = torch.tensor(
        [[math.log(pi[a] / mu[a]) for a in pair] for pair in pairs], dtype=torch.float64
    ).T
    paid = torch.tensor([[rewards[a] for a in pair] for pair in pairs], dtype=torch.float64).T
    chance = torch.tensor([mu[a] * mu[b] for a, b in pairs], dtype=torch.float64)
    never = torch.zeros_like(paid, dtype=torch.bool)
    numbers = [torch.tensor([number], dtype=torch.float64) for number in (0.9, 1.0, rho_bar, c_bar)]
    value = torch.zeros((), dtype=torch.float64)
    for _ in range(400):
        everywhere = value.expand_as(paid)
        value = (
            chance * vtrace(log_rhos, paid, everywhere, everywhere, never, never, *numbers).targets[0]
        ).sum()
    return value.item()


@pytest.mark.parametrize(("rho_bar", "value"), [(1.0, 8.33333), (1.5, 8.82353), (math.inf, 9.0)])
@pytest.mark.parametrize("c_bar", [0.5, 1.0])
def test_fixed_points(rho_bar, value, c_bar):
    assert fixed_point(rho_bar, c_bar) == pytest.approx(value, abs=1e-5)


@pytest.mark.parametrize(("terminated", "truncated", "following"), [
    (False, False, 7.0), (False, True, 7.0), (True, False, 0.0), (True, True, 0.0),
])  # fmt: skip
def test_each_end_in_the_last_row(terminated, truncated, following):
    ratio = 3.0
    log_rho = torch.full((1, 1), math.log(ratio), dtype=torch.float64)
    one = [torch.tensor([[number]], dtype=torch.float64) for number in (1.0, 2.0, 7.0)]
    ends = [torch.tensor([[flag]]) for flag in (terminated, truncated)]
    numbers = [torch.tensor([[number]], dtype=torch.float64) for number in (0.9, 0.5, 2.0, 1.0)]
    found = vtrace(log_rho, *one, *ends, *numbers)
    advantage = 1.0 + 0.9 * following - 2.0
    assert found.advantages.item() == pytest.approx(advantage)
    assert found.targets.item() == pytest.approx(2.0 + 2.0 * advantage)
    assert found.ratios.item() == 2.0


def test_nothing_passes_an_end_from_one_episode_to_the_one_before():
    given = rollout(12, 1, 1, 0.0)
    for kind in ("terminated", "truncated"):
        ends = torch.zeros_like(given.terminated)
        ends[5] = True
        cut = given._replace(**{kind: ends})
        changed = cut._replace(rewards=cut.rewards.clone())
        changed.rewards[6:] += 100.0
        numbers = [torch.tensor([[number]], dtype=torch.float64) for number in (0.9, 0.9, 2.0, 1.0)]
        before, after = (vtrace(log_ratios(12, 1, 1), *steps, *numbers) for steps in (cut, changed))
        assert torch.equal(before.targets[:6], after.targets[:6])
        assert torch.equal(before.advantages[:6], after.advantages[:6])
        assert not torch.isclose(before.targets[6:], after.targets[6:]).any()


def test_the_value_of_a_state_beyond_termination_is_never_read():
    nan = torch.full((1, 1), math.nan)
    one, yes = torch.ones(1, 1), torch.ones(1, 1, dtype=torch.bool)
    found = vtrace(torch.zeros(1, 1), one, one, nan, yes, ~yes, one, one, one, one)
    assert all(part.isfinite().all() for part in found)


def test_a_cap_has_the_gradient_of_the_ratio_up_to_and_at_equality():
    ratios = torch.tensor([0.5, 1.0, 1.5], requires_grad=True)
    held = capped(ratios, torch.tensor(1.0))
    held.sum().backward()
    assert held.tolist() == [0.5, 1.0, 1.0]
    assert ratios.grad.tolist() == [1.0, 1.0, 0.0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("envs", [1, 3, 8, 17])
def test_runs_together_equal_each_alone(envs, dtype):
    parts = [part.to(dtype) if part.is_floating_point() else part for part in rollout(13, 5, envs, 0.1)]
    logs = log_ratios(13, 5, envs).to(dtype)
    numbers = [per_run(5, *ends).to(dtype) for ends in ((0.99, 0.8), (0.95, 1.0), (1.0, 3.0), (0.5, 1.5))]
    whole = vtrace(logs, *parts, *numbers)
    for members in ([0], [4], [1, 3]):
        found = vtrace(*alone(members, logs, *parts), *(part[members] for part in numbers))
        for part, of_all in zip(found, whole, strict=True):
            assert torch.equal(part, of_all[:, members])


def test_ratios_beyond_what_floats_hold_are_capped_like_any_other():
    """Caps keep products finite: no advantage, no discount and no trace is multiplied by infinity."""
    steps = rollout(9, 2, 3, 0.15)
    logs = torch.full((9, 2, 3), 1e4, dtype=torch.float64)
    for gamma, trace_decay in ((0.9, 0.8), (0.0, 0.0)):
        numbers = [torch.full((2, 1), x, dtype=torch.float64) for x in (gamma, trace_decay, 1.5, 1.0)]
        found = vtrace(logs, *steps, *numbers)
        wanted = vtrace(torch.full_like(logs, 5.0), *steps, *numbers)
        for one, two in zip(found, wanted, strict=True):
            assert torch.equal(one, two)
