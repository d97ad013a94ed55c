"""Weights and gradient coefficients against explicit products and sums, and against automatic gradients."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from rlcli.maths.estimators import bootstrapped_rewards, monte_carlo
from rlcli.maths.importance import (
    BY_SEGMENT,
    KINDS,
    estimator_variance,
    importance_weights,
    log_weights,
    sqrt_cap,
    weight_figures,
)
from rlcli.maths.importance_gradients import gradient_coefficients
from rlcli.maths.segments import segments
from tests.maths.rollouts import SHAPES, alone, log_ratios, per_run, rollout

CAPS = [None, 0.5, 2.0, "sqrt_n"]
ENDS = [0.15, 0.6]


def pieces(ended: Tensor, run: int) -> list[list[tuple[int, int]]]:
    """The segments of one run as lists of (t, n), in order."""
    found = []
    for n in range(ended.shape[2]):
        piece = []
        for t in range(len(ended)):
            piece.append((t, n))
            if ended[t, run, n] or t == len(ended) - 1:
                found.append(piece)
                piece = []
    return found


def slow_weights(kind, log_rhos, ended, run, cap, normalise) -> dict[tuple[int, int], float]:
    """The weight of each (t, n) of a run, products written out."""
    parts = pieces(ended, run)
    ratio = {(t, n): math.exp(float(log_rhos[t, run, n])) for t, n in itertools.chain(*parts)}
    weight = {}
    for piece in parts:
        for k, at in enumerate(piece):
            weight[at] = {
                "trajectory": math.prod(ratio[one] for one in piece),
                "per_decision": math.prod(ratio[one] for one in piece[: k + 1]),
                "prefix": math.prod(ratio[one] for one in piece[: k + 1]),
                "per_step": ratio[at],
                "none": 1.0,
            }[kind]
    if cap == "sqrt_n":
        cap = math.sqrt(len(parts) if kind in BY_SEGMENT else len(weight))
    if cap is not None:
        weight = {at: min(cap, number) for at, number in weight.items()}
    if not normalise:
        return weight
    scaled = {}
    for piece in parts:
        for k, at in enumerate(piece):
            if kind == "trajectory":
                peers = [weight[other[-1]] for other in parts]
            elif kind == "per_decision":
                peers = [weight[other[min(k, len(other) - 1)]] for other in parts]
            else:
                peers = list(weight.values())
            scaled[at] = weight[at] / (sum(peers) / len(peers))
    return scaled


def weights_of(kind, log_rhos, ended, cap, normalise):
    parts = segments(ended)
    runs = log_rhos.shape[1]
    if cap == "sqrt_n":
        limit = sqrt_cap(kind, parts)
    else:
        limit = None if cap is None else torch.full((runs, 1), cap)
    return importance_weights(kind, log_rhos, parts, limit, normalise)


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("cap", CAPS)
@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_their_products(kind, cap, normalise):
    for (steps, runs, envs), ends in itertools.product(SHAPES, ENDS):
        *_, terminated, truncated = rollout(steps, runs, envs, ends, seed=steps)
        ended, logs = terminated | truncated, log_ratios(steps, runs, envs)
        found = weights_of(kind, logs, ended, cap, normalise).log.exp()
        for run in range(runs):
            for (t, n), wanted in slow_weights(kind, logs, ended, run, cap, normalise).items():
                assert found[t, run, n].item() == pytest.approx(wanted, rel=1e-10)


def test_the_comparison_has_segments_that_end_before_and_after_others_and_caps_that_bind():
    *_, terminated, truncated = rollout(17, 3, 4, 0.15, seed=17)
    ended = terminated | truncated
    for run in range(3):
        assert len({len(piece) for piece in pieces(ended, run)}) > 3
    for kind in KINDS[:-1]:
        raw = log_weights(kind, log_ratios(17, 3, 4), segments(ended)).exp()
        for cap in (0.5, 2.0):
            assert 0.1 < (raw > cap).double().mean() < 0.9


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("cap", CAPS)
@pytest.mark.parametrize("kind", KINDS)
def test_figures_are_of_the_weights_in_use(kind, cap, normalise):
    for (steps, runs, envs), ends in itertools.product(SHAPES, ENDS):
        *_, terminated, truncated = rollout(steps, runs, envs, ends, seed=steps)
        ended, logs = terminated | truncated, log_ratios(steps, runs, envs)
        found = weight_figures(weights_of(kind, logs, ended, cap, normalise))
        for run in range(runs):
            weight = slow_weights(kind, logs, ended, run, cap, normalise)
            parts = pieces(ended, run)
            used = [weight[part[-1]] for part in parts] if kind in BY_SEGMENT else list(weight.values())
            mean = sum(used) / len(used)
            square = sum(one * one for one in used)
            assert found["ess"][run].item() == pytest.approx(sum(used) ** 2 / (len(used) * square), rel=1e-9)
            assert found["max"][run].item() == pytest.approx(max(used), rel=1e-9)
            spread = sum((one - mean) ** 2 for one in used) / len(used)
            assert found["variance"][run].item() == pytest.approx(spread, rel=1e-7, abs=1e-12)


def slow_coefficients(kind, weight, parts, run, signals, gamma, normalise, discount_states):
    """The coefficient of each (t, n) by the docstring; per_decision's normaliser is held constant."""
    rewards, advantages, baseline = signals
    found = {}
    outcome = {}
    for piece in parts:
        total = sum(gamma**k * float(rewards[t, run, n]) for k, (t, n) in enumerate(piece))
        for at in piece:
            if kind == "trajectory":
                first = piece[0]
                outcome[at] = total - (0.0 if baseline is None else float(baseline[first[0], run, first[1]]))
            else:
                outcome[at] = float(advantages[at[0], run, at[1]])
    if normalise:
        samples = [piece[-1] for piece in parts] if kind == "trajectory" else list(weight)
        mean = sum(weight[at] * outcome[at] for at in samples) / len(samples)
        outcome = {at: number - mean for at, number in outcome.items()}
    for piece in parts:
        for k, at in enumerate(piece):
            start = gamma**k if discount_states else 1.0
            if kind == "trajectory":
                found[at] = weight[at] * outcome[at]
            elif kind == "per_decision":
                later = sum(
                    gamma ** (j - k) * weight[piece[j]] * float(rewards[piece[j][0], run, piece[j][1]])
                    for j in range(k, len(piece))
                )
                taken = 0.0 if baseline is None else weight[at] * float(baseline[at[0], run, at[1]])
                found[at] = start * (later - taken)
            else:
                found[at] = start * weight[at] * outcome[at]
    return found


@pytest.mark.parametrize("discount_states", [False, True])
@pytest.mark.parametrize("cap", [None, 2.0])
@pytest.mark.parametrize(
    ("kind", "normalise", "with_baseline"),
    # Held against the gradient of the self-normalised estimate below: per_decision without a baseline.
    [
        case
        for case in itertools.product(KINDS, (False, True), (False, True))
        if case != ("per_decision", True, False)
    ],
)
def test_coefficients_are_their_sums(kind, cap, normalise, with_baseline, discount_states):
    for (steps, runs, envs), ends in itertools.product(SHAPES, ENDS):
        given = rollout(steps, runs, envs, ends, seed=steps)
        ended, logs, gamma = (
            given.terminated | given.truncated,
            log_ratios(steps, runs, envs),
            per_run(runs, 0.95, 0.6),
        )
        weights = weights_of(kind, logs, ended, cap, normalise)
        baseline = given.values if with_baseline else None
        advantages = torch.randn_like(given.rewards)
        found = gradient_coefficients(
            weights, given.rewards, advantages, gamma, baseline, discount_states=discount_states
        )
        for run in range(runs):
            weight = slow_weights(kind, logs, ended, run, cap, normalise)
            signals, discount = (given.rewards, advantages, baseline), float(gamma[run, 0])
            wanted = slow_coefficients(
                kind, weight, pieces(ended, run), run, signals, discount, normalise, discount_states
            )
            for (t, n), number in wanted.items():
                assert found[t, run, n].item() == pytest.approx(number, rel=1e-9, abs=1e-9)


def estimate(kind, log_pi, log_mu, parts, run, rewards, gamma, normalise) -> Tensor:
    """Ĵ of one run as a function of log π, times the number of segments."""

    def ratio(piece):
        return torch.stack([log_pi[t, run, n] - log_mu[t, run, n] for t, n in piece]).sum().exp()

    def reward(at):
        return rewards[at[0], run, at[1]]

    count = len(parts)
    if kind == "trajectory":
        outcomes = torch.stack([sum(gamma**k * reward(at) for k, at in enumerate(piece)) for piece in parts])
        weight = torch.stack([ratio(piece) for piece in parts])
        return count * (weight * outcomes).sum() / (weight.sum() if normalise else count)
    total = torch.zeros((), dtype=torch.float64)
    for age in range(max(map(len, parts))):
        # Segments that ended keep their last weight and earn nothing more.
        weight = torch.stack([ratio(piece[: age + 1]) for piece in parts])
        earned = torch.stack(
            [reward(piece[age]) if age < len(piece) else torch.zeros(()).double() for piece in parts]
        )
        total = total + gamma**age * count * (weight * earned).sum() / (weight.sum() if normalise else count)
    return total


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("kind", BY_SEGMENT)
def test_coefficients_are_the_gradient_of_the_estimate(kind, normalise):
    for (steps, runs, envs), ends in itertools.product(SHAPES, ENDS):
        given = rollout(steps, runs, envs, ends, seed=steps)
        ended, gamma = given.terminated | given.truncated, per_run(runs, 0.95, 0.6)
        log_mu = torch.randn_like(given.rewards)
        log_pi = (log_mu + log_ratios(steps, runs, envs)).requires_grad_()
        total = torch.zeros((), dtype=torch.float64)
        for run in range(runs):
            parts, discount = pieces(ended, run), float(gamma[run, 0])
            total = total + estimate(kind, log_pi, log_mu, parts, run, given.rewards, discount, normalise)
        (wanted,) = torch.autograd.grad(total, log_pi)
        weights = weights_of(kind, (log_pi - log_mu).detach(), ended, None, normalise)
        found = gradient_coefficients(
            weights, given.rewards, torch.full_like(wanted, math.nan), gamma, None, discount_states=True
        )
        torch.testing.assert_close(found, wanted, rtol=1e-8, atol=1e-8 * max(1.0, wanted.abs().max().item()))


def test_per_decision_without_the_discount_of_states_differs_by_it_alone():
    given = rollout(17, 2, 4, 0.15)
    parts, gamma = segments(given.terminated | given.truncated), per_run(2, 0.95, 0.6)
    for normalise in (False, True):
        weights = importance_weights("per_decision", log_ratios(17, 2, 4), parts, None, normalise)
        with_it, without = (
            gradient_coefficients(weights, given.rewards, given.rewards, gamma, None, discount_states=flag)
            for flag in (True, False)
        )
        torch.testing.assert_close(with_it, without * gamma**parts.age)
        assert not torch.allclose(with_it, without)


def test_segments_number_their_steps():
    ended = torch.tensor([[0, 1, 0], [0, 0, 1], [1, 0, 1], [0, 0, 0]], dtype=torch.bool).view(4, 1, 3)
    found = segments(ended)
    assert found.age[:, 0].tolist() == [[0, 0, 0], [1, 0, 1], [2, 1, 0], [0, 2, 0]]
    assert found.last[:, 0].int().tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 1], [1, 1, 1]]
    assert ended[3].sum() == 0


def test_products_over_a_long_horizon_stay_finite_in_log_space():
    """0.8^100 and 1.2^100 as the notes have them; a thousand steps beyond what an exponential holds."""
    never = torch.zeros(100, 1, 2, dtype=torch.bool)
    logs = torch.tensor([0.8, 1.2], dtype=torch.float64).log().expand(100, 1, 2)
    last = log_weights("prefix", logs, segments(never))[-1, 0].exp()
    assert last.tolist() == pytest.approx([2.037e-10, 8.28e7], rel=1e-3)
    far = torch.tensor([-2.0, -1.5, 1.5, 2.0], dtype=torch.float64).expand(1000, 1, 4)
    parts = segments(torch.zeros(1000, 1, 4, dtype=torch.bool))
    for kind in BY_SEGMENT:
        for shift in (0.0, 2.0, -2.0):
            weights = importance_weights(kind, far + shift, parts, None, self_normalise=True)
            assert weights.log.exp().isfinite().all()
            figures = weight_figures(weights)
            assert figures["ess"].item() == pytest.approx(0.25)
            assert figures["max"].item() == pytest.approx(4.0)
            assert figures["variance"].item() == pytest.approx(3.0)
            found = gradient_coefficients(
                weights,
                torch.randn(1000, 1, 4).double(),
                far,
                torch.tensor([[0.99]]).double(),
                None,
                discount_states=True,
            )
            assert found.isfinite().all()
    assert weight_figures(importance_weights("trajectory", far + 1.9, parts))["ess"].item() == pytest.approx(
        0.25
    )


def test_a_ratio_of_zero_weighs_nothing():
    never = torch.zeros(3, 1, 2, dtype=torch.bool)
    logs = torch.zeros(3, 1, 2, dtype=torch.float64)
    logs[1, 0, 0] = -math.inf
    for kind, normalise in itertools.product(KINDS[:-1], (False, True)):
        weight = importance_weights(kind, logs, segments(never), None, normalise).log.exp()
        assert weight.isfinite().all(), kind
        assert weight[1, 0, 0] == 0.0
        assert (weight[:, 0, 1] > 0).all()


def test_a_ratio_of_zero_may_be_the_only_one_of_its_age():
    logs = torch.zeros(2, 1, 2, dtype=torch.float64)
    logs[1, 0, 0] = -math.inf
    ended = torch.tensor([[[False, True]], [[False, False]]])
    weights = importance_weights("per_decision", logs, segments(ended), None, self_normalise=True)
    assert weights.log.exp().flatten().tolist() == [1.0, 1.0, 0.0, 1.0]


def test_the_square_root_cap_counts_samples():
    *_, terminated, truncated = rollout(16, 2, 3, 0.2)
    parts = segments(terminated | truncated)
    count = parts.last.sum((0, 2)).double().sqrt()
    for kind in KINDS:
        wanted = count if kind in BY_SEGMENT else torch.full((2,), math.sqrt(48), dtype=torch.float64)
        assert torch.equal(sqrt_cap(kind, parts).squeeze(-1), wanted)
    assert count[0] != count[1]


def test_the_future_of_a_cut_segment_is_weighed_as_its_last_reward():
    """With V for what was cut off, per-decision coefficients at π = μ are Monte-Carlo advantages."""
    given = rollout(20, 2, 4, 0.15)
    gamma = per_run(2, 0.95, 0.7)
    paid = bootstrapped_rewards(given.rewards, given.next_values, given.terminated, given.truncated, gamma)
    parts = segments(given.terminated | given.truncated)
    weights = importance_weights("per_decision", torch.zeros_like(paid), parts)
    found = gradient_coefficients(weights, paid, paid, gamma, given.values, discount_states=False)
    torch.testing.assert_close(found, monte_carlo(*given, gamma) - given.values)


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_any_batch_shape(kind, normalise):
    """One run without a run axis, and runs on two axes, are what they are with one."""
    given, logs = rollout(12, 4, 3, 0.2), log_ratios(12, 4, 3)
    ended, discounts = given.terminated | given.truncated, per_run(4, 0.95, 0.7)

    def everything(shape, run=slice(None)):
        def shaped(part):
            return part[:, run].reshape(12, *shape, 3)

        gamma = discounts[run].reshape(*shape, 1)
        weights = importance_weights(kind, shaped(logs), segments(shaped(ended)), gamma * 3.0, normalise)
        rewards, values = shaped(given.rewards), shaped(given.values)
        found = gradient_coefficients(weights, rewards, values, gamma, None, discount_states=True)
        return found, weight_figures(weights)

    whole, figures = everything((4,))
    square, by_square = everything((2, 2))
    assert torch.equal(square.reshape(whole.shape), whole)
    lone, by_lone = everything((), 2)
    assert torch.equal(lone, whole[:, 2])
    for name, part in figures.items():
        assert torch.equal(by_square[name].flatten(), part)
        assert torch.equal(by_lone[name], part[2])


@pytest.mark.parametrize(("steps", "envs"), [(1, 1), (13, 1), (13, 3), (32, 8), (7, 17)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("normalise", [False, True])
def test_runs_together_equal_each_alone(kind, normalise, dtype, steps, envs):
    given = [part.to(dtype) if part.is_floating_point() else part for part in rollout(steps, 5, envs, 0.1)]
    logs, gamma, caps = (
        log_ratios(steps, 5, envs).to(dtype),
        per_run(5, 0.99, 0.8).to(dtype),
        per_run(5, 1.5, 9.0),
    )

    def everything(members):
        rewards, values, _, terminated, truncated = alone(members, *given)
        parts = segments(terminated | truncated)
        found = []
        for cap in (None, caps[members], sqrt_cap(kind, parts)):
            weights = importance_weights(kind, logs[:, members].contiguous(), parts, cap, normalise)
            for baseline in (None, values):
                found.append(
                    gradient_coefficients(
                        weights, rewards, values, gamma[members], baseline, discount_states=True
                    )
                )
            found.extend(weight_figures(weights).values())
        return found

    whole = everything([0, 1, 2, 3, 4])
    for members in ([0], [4], [1, 3]):
        for part, of_all in zip(everything(members), whole, strict=True):
            assert torch.equal(part, of_all[members] if part.dim() == 1 else of_all[:, members])


@pytest.mark.parametrize("discount_states", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_what_earned_nothing_has_no_coefficient_however_large_its_weight(kind, discount_states):
    """0 x inf: a weight beyond what floats hold says nothing of a step that has nothing to weigh."""
    ended = torch.zeros(3, 1, 2, dtype=torch.bool)
    logs = torch.zeros(3, 1, 2, dtype=torch.float64)
    logs[:, :, 0] = 1e4
    signal = torch.ones(3, 1, 2, dtype=torch.float64)
    signal[:, :, 0] = 0.0
    found = gradient_coefficients(
        weights_of(kind, logs, ended, None, False), signal, signal, torch.zeros(1, 1, dtype=torch.float64),
        None, discount_states=discount_states,
    )  # fmt: skip
    assert (found[..., 0] == 0.0).all()
    assert found.isfinite().all()


@pytest.mark.broken_by(
    "the variance around 0",
    "maths/importance.py",
    "gap = target - mean * behaviour",
    "gap = target",
)
@pytest.mark.parametrize("samples", [1, 2, 3])
def test_the_variance_of_an_estimate_over_every_sample(samples: int) -> None:
    """Of n independent draws: the mean square over all n-tuples, less the square of the mean."""
    draw = torch.Generator().manual_seed(samples)
    values = torch.randn(4, dtype=torch.float64, generator=draw)
    policy, behaviour = (torch.randn(4, dtype=torch.float64, generator=draw).softmax(-1) for _ in range(2))
    weighed = policy / behaviour * values
    first = second = 0.0
    for drawn in itertools.product(range(4), repeat=samples):
        chance = math.prod(behaviour[x].item() for x in drawn)
        estimate = sum(weighed[x].item() for x in drawn) / samples
        first, second = first + chance * estimate, second + chance * estimate**2
    assert first == pytest.approx((policy * values).sum().item(), abs=1e-13)
    found = estimator_variance(values, policy, behaviour, samples).item()
    assert found == pytest.approx(second - first**2, abs=1e-13)


def test_the_best_behaviour_leaves_no_variance_and_an_uncovered_action_all_of_it() -> None:
    values = torch.tensor([1.0, 4.0, 2.0], dtype=torch.float64)
    policy = torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64)
    best = values * policy / (values * policy).sum()
    assert estimator_variance(values, policy, best, 1).item() == pytest.approx(0.0, abs=1e-15)
    assert estimator_variance(values, policy, policy, 1).item() > 0
    uncovered = torch.tensor([0.5, 0.5, 0.0], dtype=torch.float64)
    assert estimator_variance(values, policy, uncovered, 1).item() == math.inf
    assert estimator_variance(values, uncovered, uncovered, 1).isfinite()
