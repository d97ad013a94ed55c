"""What an importance-weighted gradient gains along a line, against the objectives it is the gradient of."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from rlcli.maths.importance import gradient_coefficients, importance_weights, log_weights, outcomes, segments
from rlcli.maths.path import average_weights, gained
from tests.maths.rollouts import alone, log_ratios, per_run, rollout

GAMMA, STEPS, RUNS, ENVS = 0.9, 9, 2, 3
KINDS = ("trajectory", "per_decision", "prefix", "per_step", "none")
CAPS = [None, 0.7, 1.5]


class Case:
    """One rollout with two policies far from each other and from the one that acted."""

    def __init__(
        self, kind: str, cap: float | None, baseline: bool, normalise: bool = False, size: float = 1.0
    ):
        rewards, values, _, terminated, truncated = rollout(STEPS, RUNS, ENVS, 0.2, seed=3)
        self.kind, self.normalise = kind, normalise
        self.parts = segments(terminated | truncated)
        self.rewards, self.advantages = rewards.double(), (rewards - values).double()
        self.baseline = values.double() if baseline else None
        self.gamma = per_run(RUNS, GAMMA, 0.97).double()
        self.cap = None if cap is None else torch.full((RUNS, 1), cap, dtype=torch.float64)
        self.first = log_ratios(STEPS, RUNS, ENVS, seed=1).double()
        self.last = self.first + size * log_ratios(STEPS, RUNS, ENVS, seed=2).double()

    def coefficients_of(self, weights, discount_states: bool = True) -> Tensor:
        return gradient_coefficients(
            weights, self.rewards, self.advantages, self.gamma, self.baseline, discount_states=discount_states
        )

    def coefficients(self, x: Tensor, discount_states: bool = True) -> Tensor:
        weights = importance_weights(self.kind, x, self.parts, self.cap, self.normalise)
        return self.coefficients_of(weights, discount_states)

    def gain(self, discount_states: bool = True) -> Tensor:
        """[T, R, N]."""

        def field(weights):
            return self.coefficients_of(weights, discount_states)

        return gained(self.kind, field, self.first, self.last, self.parts, self.cap, self.normalise)

    def outcomes(self) -> Tensor:
        return outcomes(
            self.kind,
            self.rewards,
            self.advantages,
            self.gamma,
            self.baseline,
            self.parts,
            discount_states=True,
        )

    def objective(self, x: Tensor) -> Tensor:
        """Σ f(log w) y, [R]: f is exp, and beyond log cap goes on with slope cap."""
        log = log_weights(self.kind, x, self.parts)
        weight = log.exp()
        if self.cap is not None:
            limit = self.cap.log()
            weight = torch.where(log > limit, self.cap * (1.0 + log - limit), weight)
        if self.kind == "none":
            weight = x if self.cap is None else x * self.cap.clamp(max=1.0)
        return (weight * self.outcomes()).sum((0, 2))


def is_a_gradient(kind: str, baseline: bool) -> bool:
    """Whether the coefficients are the gradient of `Case.objective`; else the line counts."""
    return kind in ("trajectory", "per_step", "none") or (kind == "per_decision" and not baseline)


@pytest.mark.parametrize("baseline", [False, True])
@pytest.mark.parametrize("cap", CAPS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_gain_is_the_change_of_the_objective(kind, cap, baseline):
    case = Case(kind, cap, baseline)
    exact = is_a_gradient(kind, baseline)
    wanted = case.objective(case.last) - case.objective(case.first) if exact else quadrature(case)
    torch.testing.assert_close(case.gain().sum((0, 2)), wanted, rtol=1e-9 if exact else 5e-3, atol=0)


def quadrature(case: Case, steps: int = 300) -> Tensor:
    """∫ Σ C Δ by the midpoint rule."""
    move = case.last - case.first
    places = [(one + 0.5) / steps for one in range(steps)]
    return sum((case.coefficients(case.first + place * move) * move).sum((0, 2)) for place in places) / steps


@pytest.mark.parametrize("cap", CAPS)
def test_self_normalised_segments_gain_what_their_weighted_mean_does(cap):
    case = Case("trajectory", None, True, normalise=True, size=0.3)
    log = [log_weights("trajectory", x, case.parts) for x in (case.first, case.last)]
    ends = case.parts.last.double()
    totals = segment_totals(case)
    means = [((one.exp() * totals * ends).sum((0, 2)) / (one.exp() * ends).sum((0, 2))) for one in log]
    wanted = (means[1] - means[0]) * case.parts.total
    torch.testing.assert_close(case.gain().sum((0, 2)), wanted, rtol=1e-6, atol=0)
    if cap is not None:
        bound = Case("trajectory", cap, True, normalise=True, size=0.3)
        gain, size = bound.gain().sum((0, 2)), bound.gain().abs().sum((0, 2))
        assert ((gain - quadrature(bound)).abs() < 0.02 * size).all()


def segment_totals(case: Case) -> Tensor:
    """Σ of a segment's outcomes at its last step, by a loop."""
    found, held = [], torch.zeros(RUNS, ENVS, dtype=torch.float64)
    for outcome, last in zip(case.outcomes(), case.parts.last, strict=True):
        held = held + outcome
        found.append(held)
        held = torch.where(last, 0.0, held)
    return torch.stack(found)


@pytest.mark.parametrize("discount_states", [False, True])
@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("baseline", [False, True])
@pytest.mark.parametrize("cap", CAPS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_small_step_gains_the_gradient_times_the_step(kind, cap, baseline, normalise, discount_states):
    case = Case(kind, cap, baseline, normalise, size=1e-6)
    wanted = (case.coefficients(case.first, discount_states) * (case.last - case.first)).sum((0, 2))
    torch.testing.assert_close(case.gain(discount_states).sum((0, 2)), wanted, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_there_and_back_gains_nothing(kind, normalise):
    case = Case(kind, 1.5, True, normalise)
    there = case.gain()
    case.first, case.last = case.last, case.first
    torch.testing.assert_close(case.gain(), -there, rtol=1e-9, atol=1e-9)


def test_the_mean_weight_of_moves_that_vanish_or_overflow():
    parts = segments(torch.ones(1, 1, 4, dtype=torch.bool))
    first = torch.tensor([0.0, 0.0, -800.0, -math.inf], dtype=torch.float64).view(1, 1, 4)
    last = torch.tensor([0.0, 1e-12, 700.0, 0.0], dtype=torch.float64).view(1, 1, 4)
    found = average_weights("per_step", first, last, parts).log.flatten().tolist()
    assert found[:2] == pytest.approx([0.0, 5e-13], abs=1e-15)
    assert found[2] == pytest.approx(700.0 - math.log(1500.0))
    assert found[3] == -math.inf


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_runs_together_equal_each_alone(kind, normalise):
    case = Case(kind, 1.5, True, normalise)
    together = case.gain()
    for run in range(RUNS):
        one = Case(kind, 1.5, True, normalise)
        fields = alone([run], one.rewards, one.advantages, one.baseline, one.first, one.last)
        one.rewards, one.advantages, one.baseline, one.first, one.last = fields
        one.parts = segments(case.parts.last[:, [run]])
        one.gamma, one.cap = one.gamma[[run]], one.cap[[run]]
        assert torch.equal(one.gain()[:, 0], together[:, run])
