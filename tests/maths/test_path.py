"""Gains along a line of log-ratios: the objective's difference where there is one, else the integral."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from rlcli.maths.importance import KINDS, Weights, importance_weights, log_weights
from rlcli.maths.importance_gradients import gradient_coefficients
from rlcli.maths.path import NODES, mean_log_weights
from rlcli.maths.segments import Segments, segments
from tests.maths.rollouts import log_ratios, per_run, rollout

STEPS, RUNS, ENVS = 13, 3, 4
CAPS = [None, 0.5, 2.0]


def limit(cap: float | None) -> Tensor | None:
    return None if cap is None else torch.full((RUNS, 1), cap, dtype=torch.float64)


def mean_weights(
    kind: str, first: Tensor, last: Tensor, parts: Segments, cap: Tensor | None = None
) -> Weights:
    """The mean weights on the line from one policy to another."""
    ends = (log_weights(kind, logs, parts) for logs in (first, last))
    return Weights(kind, mean_log_weights(*ends, cap), None, False, parts)


def scene() -> tuple[Tensor, Tensor, Segments, Tensor, Tensor, Tensor]:
    """Two policies by their log-ratios, what divides the rollout, rewards, advantages and discounts."""
    steps = rollout(STEPS, RUNS, ENVS, 0.15, seed=3)
    first, last = (0.3 * log_ratios(STEPS, RUNS, ENVS, seed=seed) for seed in (1, 2))
    parts = segments(steps.terminated | steps.truncated)
    return first, last, parts, steps.rewards, steps.values, per_run(RUNS, 0.7, 1.0)


@pytest.mark.broken_by(
    "mean weights that forget the cap on the way",
    "maths/path.py",
    "log = torch.where(torch.maximum(begin, end) > limit, torch.logaddexp(below, above), log)",
    "log = torch.minimum(log, limit)",
)
@pytest.mark.parametrize("cap", CAPS)
@pytest.mark.parametrize("kind", KINDS[:-1])
def test_mean_weights_are_the_mean_over_the_line(kind, cap):
    slices = 400
    first, last, parts, *_ = scene()
    places = torch.linspace(0.0, 1.0, slices + 1, dtype=torch.float64)
    total = sum(
        (0.5 if k in (0, slices) else 1.0)
        * importance_weights(kind, first + s * (last - first), parts, limit(cap)).log.exp()
        for k, s in enumerate(places)
    )
    found = mean_weights(kind, first, last, parts, limit(cap)).log.exp()
    torch.testing.assert_close(found, total / slices, rtol=2e-3, atol=0)
    assert (found[0, 0] - 1.0).abs().max() > 0.05


def test_the_mean_of_an_exponential_at_its_edges():
    """No move, a tiny one, one beyond what exp holds, and ends on either side of the cap, or on it."""
    parts = segments(torch.ones(1, 1, 1, dtype=torch.bool))

    def mean(a: float, b: float, cap: float | None = None) -> float:
        ends = (torch.full((1, 1, 1), end, dtype=torch.float64) for end in (a, b))
        limit = None if cap is None else torch.full((1, 1), cap, dtype=torch.float64)
        return mean_weights("per_step", *ends, parts, limit).log.exp().item()

    assert mean(0.3, 0.3) == pytest.approx(math.exp(0.3))
    assert mean(0.0, 1e-9) == pytest.approx(1.0 + 5e-10, rel=1e-14)
    assert mean(0.0, 1.0) == mean(1.0, 0.0) == pytest.approx(math.e - 1)
    assert mean(-2000.0, 0.0) == pytest.approx(1 / 2000)
    cap = math.exp(0.5)
    assert mean(0.0, 1.0, cap) == mean(1.0, 0.0, cap) == pytest.approx(cap - 1 + 0.5 * cap)
    assert mean(0.0, 0.5, cap) == pytest.approx((cap - 1) / 0.5)
    assert mean(0.5, 0.5, cap) == mean(0.5, 3.0, cap) == mean(2.0, 3.0, cap) == pytest.approx(cap)


def estimate(kind: str, logs: Tensor, normalise: bool) -> Tensor:
    """The objectives of the table in `maths/path.py`, sums written out, a number a run."""
    _, _, parts, rewards, values, gamma = scene()
    weight = importance_weights(kind, logs, parts, None, normalise).log.exp()
    found = torch.zeros(RUNS, dtype=torch.float64)
    for run, n in itertools.product(range(RUNS), range(ENVS)):
        total = 0.0
        for t in range(STEPS):
            discount = gamma[run, 0].item() ** parts.age[t, run, n].item()
            if kind == "trajectory":
                total += discount * rewards[t, run, n].item()
                if parts.last[t, run, n]:
                    found[run] += weight[t, run, n] * total
                    total = 0.0
            elif kind == "per_decision":
                found[run] += weight[t, run, n] * discount * rewards[t, run, n]
            else:
                found[run] += weight[t, run, n] * values[t, run, n]
    return found


def gained(kind: str, first: Tensor, last: Tensor, normalise: bool) -> Tensor:
    _, _, parts, rewards, values, gamma = scene()

    def coefficients(weights: Weights) -> Tensor:
        return gradient_coefficients(
            weights, rewards, values, gamma, None, discount_states=kind == "per_decision"
        )

    move = last - first
    if normalise:
        mean = sum(
            share * coefficients(importance_weights(kind, first + place * move, parts, None, True))
            for place, share in NODES
        )
    else:
        mean = coefficients(mean_weights(kind, first, last, parts))
    return (mean * move).sum((0, 2))


@pytest.mark.broken_by(
    "mean weights of a line taken at its start",
    "maths/path.py",
    "log = _log_mean_exp(begin, end)",
    "log = begin + 0.0 * end",
)
@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("kind", ["trajectory", "per_decision", "per_step"])
def test_the_gain_is_the_difference_of_the_objective(kind, normalise):
    first, last, *_ = scene()
    wanted = estimate(kind, last, normalise) - estimate(kind, first, normalise)
    assert wanted.abs().min() > 0.05
    tolerance = 1e-4 if normalise else 1e-10
    torch.testing.assert_close(gained(kind, first, last, normalise), wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("kind", ["trajectory", "per_decision", "per_step"])
def test_the_objective_has_the_gradient_that_is_ascended(kind):
    """By central differences in each log-ratio of a run."""
    first, _, parts, rewards, values, gamma = scene()
    found = gradient_coefficients(
        importance_weights(kind, first, parts), rewards, values, gamma, None,
        discount_states=kind == "per_decision",
    )  # fmt: skip
    for t, n in itertools.product(range(0, STEPS, 4), range(ENVS)):
        shift = torch.zeros_like(first)
        shift[t, :, n] = 1e-5
        slope = (estimate(kind, first + shift, False) - estimate(kind, first - shift, False)) / 2e-5
        torch.testing.assert_close(found[t, :, n], slope, rtol=1e-6, atol=1e-8)
