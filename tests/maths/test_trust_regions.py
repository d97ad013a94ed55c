"""Objectives that bound a ratio otherwise than by one clip, against their papers' formulas by autograd."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from rlcli.maths.distributions import Categorical
from rlcli.maths.health import clip_figures
from rlcli.maths.surrogates import (
    clip_budget,
    clip_budget_apart,
    clipped,
    clipped_apart,
    moves_away,
    penalised_ratio,
    tv_budget,
    weighted_score,
)

LOW, HIGH, DUAL = 0.2, 0.5, 2.0
CLIP = torch.tensor(LOW, dtype=torch.float64)
CLIP_HIGH = torch.tensor(HIGH, dtype=torch.float64)


def samples() -> tuple[Tensor, Tensor]:
    """Log-ratios far beyond every end, and advantages; each [2000] float64, the first with a gradient."""
    draw = torch.Generator().manual_seed(0)
    log_ratio = 0.8 * torch.randn(2000, dtype=torch.float64, generator=draw)
    return log_ratio.requires_grad_(), torch.randn(2000, dtype=torch.float64, generator=draw)


def slope(values: Tensor, log_ratio: Tensor) -> Tensor:
    """The derivative of values of single samples by their log-ratios."""
    (found,) = torch.autograd.grad(values.sum(), log_ratio)
    return found


@pytest.mark.broken_by(
    "one clip for both ends",
    "maths/surrogates.py",
    "torch.where(losing, clip, clip_high)",
    "torch.where(losing, clip, clip)",
)
@pytest.mark.broken_by(
    "the dual clip without its flat part",
    "maths/surrogates.py",
    "flat = (weighted >= limit) | ((weighted <= floor) & (floor > -torch.inf))",
    "flat = weighted >= limit",
)
def test_ends_that_differ_and_a_floor() -> None:
    """max(min(ρ A, clip(ρ, 1-ε, 1+ε') A), c A) for A < 0, else without the floor."""
    log_ratio, advantages = samples()
    ratio = log_ratio.exp()
    inner = torch.minimum(ratio * advantages, ratio.clamp(1 - LOW, 1 + HIGH) * advantages)
    wanted = torch.where(advantages < 0, torch.maximum(inner, DUAL * advantages), inner)
    found = clipped_apart(ratio.detach(), advantages, CLIP, CLIP_HIGH, DUAL)
    torch.testing.assert_close(found.value, wanted.detach())
    torch.testing.assert_close(found.slope, slope(wanted, log_ratio))
    floored = (found.value == DUAL * advantages) & (advantages < 0)
    assert 0 < floored.sum() < (advantages < 0).sum()


def test_equal_ends_without_a_floor_are_the_clip_to_the_bit() -> None:
    log_ratio, advantages = (part.detach().float() for part in samples())
    advantages[::7] = 0.0
    clip = torch.tensor(LOW)
    one, other = (
        clipped(log_ratio.exp(), advantages, clip),
        clipped_apart(log_ratio.exp(), advantages, clip, clip, math.inf),
    )
    assert torch.equal(one.value, other.value)
    assert torch.equal(one.slope, other.slope)


@pytest.mark.broken_by(
    "the penalty on the ratio halved",
    "maths/surrogates.py",
    "value = side + move * (side - move / (2.0 * clip))",
    "value = side + move * (side - move / (4.0 * clip))",
)
@pytest.mark.broken_by(
    "the penalised ratio's slope without its ratio",
    "maths/surrogates.py",
    "times(ratio * (side - move / clip), size)",
    "times(side - move / clip, size)",
)
def test_the_penalised_ratio_is_its_formula_and_best_at_an_end_of_the_range() -> None:
    log_ratio, advantages = samples()
    ratio = log_ratio.exp()
    wanted = ratio * advantages - advantages.abs() / (2 * LOW) * (ratio - 1) ** 2
    found = penalised_ratio(ratio.detach(), advantages, CLIP)
    torch.testing.assert_close(found.value, wanted.detach())
    torch.testing.assert_close(found.slope, slope(wanted, log_ratio))
    best = 1 + LOW * advantages.sign()
    at_best = penalised_ratio(best, advantages, CLIP)
    assert (at_best.value >= found.value).all()
    assert at_best.slope.abs().max() < 1e-12
    # It keeps its first order: at ratio 1 its slope is the advantage.
    assert torch.equal(penalised_ratio(torch.ones_like(best), advantages, CLIP).slope, advantages)


@pytest.mark.broken_by(
    "weights that are not clipped",
    "maths/surrogates.py",
    "weight = held.exp()",
    "weight = log_ratio.exp()",
)
@pytest.mark.broken_by(
    "weights with a lower end, too",
    "maths/surrogates.py",
    "held = torch.minimum(log_ratio, torch.log1p(clip))",
    "held = log_ratio.clamp(torch.log1p(-clip), torch.log1p(clip))",
)
def test_the_weighted_score_has_the_gradient_of_a_constant_weight_times_log_pi() -> None:
    log_ratio, advantages = samples()
    weight = log_ratio.exp().clamp(max=1 + HIGH).detach()
    found = weighted_score(log_ratio.detach(), advantages, CLIP_HIGH)
    torch.testing.assert_close(found.slope, slope(weight * advantages * log_ratio, log_ratio))
    # No sample loses its gradient, and the value is the one whose derivative it is.
    assert (found.slope != 0).all()
    value = weighted_score(log_ratio, advantages, CLIP_HIGH).value
    torch.testing.assert_close(slope(value, log_ratio), found.slope)
    inside = log_ratio.exp() < 1 + HIGH
    torch.testing.assert_close(found.value[inside], (log_ratio.exp() * advantages)[inside].detach())


def test_none_of_them_is_undefined_where_a_ratio_overflows() -> None:
    infinite, advantages = torch.tensor([math.inf] * 3), torch.tensor([0.0, 1.0, -1.0])
    clip = torch.tensor(0.25)
    # Without a floor an infinite slope shows, as it does in the clip alone.
    assert clipped_apart(infinite, advantages, clip, clip, math.inf).slope[2].item() == -math.inf
    for found in (
        clipped_apart(infinite, advantages, clip, clip, 3.0),
        penalised_ratio(infinite, advantages, clip),
        weighted_score(infinite, advantages, clip),
    ):
        assert found.value[0].item() == found.slope[0].item() == 0.0
        assert not (found.value.isnan() | found.slope.isnan()).any()


@pytest.mark.broken_by(
    "a mask of steps back to the anchor, too",
    "maths/surrogates.py",
    "return (divergence > threshold) & (log_ratio * advantages > 0.0)",
    "return divergence > threshold",
)
@pytest.mark.broken_by(
    "a mask by the ratio's side alone",
    "maths/surrogates.py",
    "return (divergence > threshold) & (log_ratio * advantages > 0.0)",
    "return log_ratio * advantages > 0.0",
)
@pytest.mark.parametrize("divergence", [0.01, 0.1, 0.2])
@pytest.mark.parametrize("ratio", [0.5, 1.0, 1.5])
@pytest.mark.parametrize("advantage", [-1.0, 0.0, 1.0])
def test_the_mask_by_divergence_case_by_case(divergence: float, ratio: float, advantage: float) -> None:
    outward = (ratio > 1 and advantage > 0) or (ratio < 1 and advantage < 0)
    numbers = (torch.tensor(number) for number in (math.log(ratio), advantage, divergence, 0.1))
    assert moves_away(*numbers).item() is (outward and divergence > 0.1)


@pytest.mark.broken_by(
    "a budget of the wrong end",
    "maths/surrogates.py",
    "shares = clip * torch.log1p(clip_high) + clip_high * torch.log1p(-clip)",
    "shares = clip_high * torch.log1p(clip_high) + clip * torch.log1p(-clip)",
    case="0.2-0.5",
)
@pytest.mark.parametrize(("low", "high"), [(0.2, 0.5), (0.2, 0.28), (0.6, 0.1), (0.3, 3.0)])
def test_no_policy_between_ends_that_differ_is_farther_than_their_budget(low: float, high: float) -> None:
    ends = torch.tensor([low, high], dtype=torch.float64)
    budget = clip_budget_apart(*ends).item()
    # The bound is met by two actions, one at each end.
    up = low / (low + high)
    assert up * (1 + high) + (1 - up) * (1 - low) == pytest.approx(1.0)
    assert -(up * math.log(1 + high) + (1 - up) * math.log(1 - low)) == pytest.approx(budget)
    draw = torch.Generator().manual_seed(0)
    reference = torch.rand(2000, 4, dtype=torch.float64, generator=draw)
    reference /= reference.sum(-1, keepdim=True)
    moves = torch.randn(2000, 4, dtype=torch.float64, generator=draw)
    moves -= (reference * moves).sum(-1, keepdim=True)
    ratio = 1 + moves * torch.minimum(high / moves.amax(-1), -low / moves.amin(-1)).unsqueeze(-1)
    kl = -(reference * ratio.log()).sum(-1)
    assert (kl <= budget).all()
    assert kl.max() > 0.5 * budget
    equal = torch.tensor(low, dtype=torch.float64)
    assert clip_budget_apart(equal, equal).item() == pytest.approx(clip_budget(equal).item())


@pytest.mark.broken_by(
    "a budget of the total variation that is too large",
    "maths/surrogates.py",
    "return 2.0 * threshold * threshold",
    "return 6.0 * threshold * threshold",
)
def test_within_the_budget_of_a_total_variation_it_does_not_exceed_the_threshold() -> None:
    """2 δ² is met where two even actions move little."""
    draw = torch.Generator().manual_seed(0)
    left = Categorical(0.5 * torch.randn(5000, 2, dtype=torch.float64, generator=draw))
    right = Categorical(left.logits + 0.3 * torch.randn(5000, 2, dtype=torch.float64, generator=draw))
    tv, kl = left.tv(right), left.kl(right)
    threshold = torch.tensor(0.05, dtype=torch.float64)
    within = kl <= tv_budget(threshold)
    assert (tv[within] <= threshold).all()
    assert tv[within].max() > 0.95 * threshold


@pytest.mark.broken_by(
    "a share beyond one end for both",
    "maths/health.py",
    "excess, below, above = log_ratio.exp() - 1.0, clip[..., :1], clip[..., -1:]",
    "excess, below, above = log_ratio.exp() - 1.0, clip[..., :1], clip[..., :1]",
)
def test_figures_of_ends_that_differ() -> None:
    ratio = torch.tensor([[0.7, 0.85, 1.3, 1.6, 1.7, 0.6]], dtype=torch.float64)
    advantages = torch.tensor([[-1.0, -1.0, 1.0, 1.0, -1.0, 1.0]], dtype=torch.float64)
    ends = torch.tensor([[LOW, HIGH]], dtype=torch.float64)
    found = clip_figures(ratio.log(), advantages, ends)
    assert found["clip_fraction_own"].item() == pytest.approx(4 / 6)
    assert found["clip_active"].item() == pytest.approx(2 / 6)
