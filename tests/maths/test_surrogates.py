"""The clipped objective case by case, on its edges, and against automatic differentiation; value losses."""

from __future__ import annotations

import math

import pytest
import torch

from rlcli.maths.products import times
from rlcli.maths.surrogates import (
    clip_budget,
    clipped,
    clipped_value_loss,
    importance_ratio,
    score,
    value_loss,
)

QUARTER = torch.tensor(0.25)
"""A clip range whose edges 0.75 and 1.25 are exact in binary."""


@pytest.mark.broken_by(
    "the clip dropped",
    "maths/surrogates.py",
    "torch.where(weighted >= limit, 0.0, weighted)",
    "weighted",
)
@pytest.mark.broken_by(
    "the clip's edge open",
    "maths/surrogates.py",
    "torch.where(weighted >= limit, 0.0, weighted)",
    "torch.where(weighted > limit, 0.0, weighted)",
)
@pytest.mark.parametrize(
    ("ratio", "advantage", "value", "slope"),
    [
        # beyond the upper edge: a gain is capped, a loss is felt in full
        (1.5, 2.0, 2.5, 0.0),
        (1.5, -2.0, -3.0, -3.0),
        # beyond the lower edge: a gain can still be regained, a loss is capped
        (0.5, 2.0, 1.0, 1.0),
        (0.5, -2.0, -1.5, 0.0),
        # inside
        (1.125, 2.0, 2.25, 2.25),
        (1.125, -2.0, -2.25, -2.25),
        (0.875, 2.0, 1.75, 1.75),
        (0.875, -2.0, -1.75, -1.75),
        (1.0, 2.0, 2.0, 2.0),
        (1.0, -2.0, -2.0, -2.0),
        # exactly on the edges: flat where the gain ends
        (1.25, 2.0, 2.5, 0.0),
        (1.25, -2.0, -2.5, -2.5),
        (0.75, 2.0, 1.5, 1.5),
        (0.75, -2.0, -1.5, 0.0),
        # no advantage, nothing to gain
        (1.5, 0.0, 0.0, 0.0),
        (1.0, 0.0, 0.0, 0.0),
    ],
)
def test_the_clipped_objective_case_by_case(ratio, advantage, value, slope):
    found = clipped(torch.tensor(ratio), torch.tensor(advantage), QUARTER)
    assert found.value.item() == value
    assert found.slope.item() == slope


@pytest.mark.broken_by(
    "an infinite ratio times no advantage",
    "maths/products.py",
    "return torch.where(values == 0.0, values, factor * values)",
    "return factor * values",
)
@pytest.mark.parametrize("objective", [lambda r, a: clipped(r, a, QUARTER), importance_ratio, score])
def test_a_sample_without_advantage_adds_nothing_however_far_its_ratio(objective):
    """0 x inf is 0: the ratio's overflow says nothing where nothing is at stake. Elsewhere it still shows."""
    infinite, advantages = torch.tensor([math.inf] * 3), torch.tensor([0.0, 1.0, -1.0])
    found = objective(infinite, advantages)
    assert found.value[0].item() == found.slope[0].item() == 0.0
    assert not found.value.isnan().any()
    assert found.value[2].item() == -math.inf


def test_products_with_zero_keep_the_bits_of_all_others():
    draw = torch.Generator().manual_seed(0)
    ratios = torch.randn(1000, generator=draw).exp()
    values = torch.randn(1000, generator=draw)
    values[::7], values[::11] = 0.0, -0.0
    product = times(ratios, values)
    assert torch.equal(product, ratios * values)
    assert torch.equal(product.signbit(), (ratios * values).signbit())
    assert times(ratios, torch.full((1000,), math.nan)).isnan().all()


def test_the_slope_is_the_gradient_of_the_minimum():
    draw = torch.Generator().manual_seed(0)
    log_ratio = 0.5 * torch.randn(4, 500, dtype=torch.float64, generator=draw)
    log_ratio.requires_grad_()
    advantages = torch.randn(4, 500, dtype=torch.float64, generator=draw)
    clip = torch.tensor([[0.1], [0.2], [0.3], [0.9]], dtype=torch.float64)
    ratio = log_ratio.exp()
    wanted = torch.minimum(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages)
    (gradient,) = torch.autograd.grad(wanted.sum(), log_ratio)
    value, slope = clipped(ratio.detach(), advantages, clip)
    torch.testing.assert_close(value, wanted.detach())
    torch.testing.assert_close(slope, gradient)
    for run in range(4):
        outside = (ratio[run] - 1).abs() > clip[run]
        held = slope[run] == 0
        assert 0 < (outside & held).sum() < outside.sum()


def test_clip_budget():
    assert clip_budget(torch.tensor(0.2)).item() == pytest.approx(0.0204, abs=1e-4)
    assert clip_budget(torch.tensor(0.0)).item() == 0.0


@pytest.mark.parametrize("clip", [0.05, 0.2, 0.6])
def test_no_policy_within_the_clip_is_farther_than_the_budget(clip):
    budget = clip_budget(torch.tensor(clip, dtype=torch.float64)).item()
    # The bound is met by two equally likely actions, one at each edge.
    assert -(math.log(1 + clip) + math.log(1 - clip)) / 2 == pytest.approx(budget)
    draw = torch.Generator().manual_seed(0)
    reference = torch.rand(2000, 4, dtype=torch.float64, generator=draw)
    reference /= reference.sum(-1, keepdim=True)
    moves = torch.randn(2000, 4, dtype=torch.float64, generator=draw)
    moves -= (reference * moves).sum(-1, keepdim=True)
    ratio = 1 + clip * moves / moves.abs().amax(-1, keepdim=True)
    kl = -(reference * ratio.log()).sum(-1)
    assert (kl <= budget).all()
    assert kl.max() > 0.7 * budget


def test_value_loss_and_its_slope():
    values = torch.tensor([3.0, 1.0, 2.0])
    found = value_loss(values, torch.tensor([1.0, 2.0, 2.0]))
    assert found.value.tolist() == [4.0, 1.0, 0.0]
    assert found.slope.tolist() == [4.0, -2.0, 0.0]


@pytest.mark.broken_by(
    "the value slope's sign flipped",
    "maths/surrogates.py",
    "return Loss(error * error, 2.0 * error)",
    "return Loss(error * error, -2.0 * error)",
)
def test_value_losses_have_the_slopes_of_their_gradients():
    draw = torch.Generator().manual_seed(0)
    values, targets, anchors = torch.randn(3, 1000, dtype=torch.float64, generator=draw)
    values.requires_grad_()
    plain = (values - targets) ** 2
    held = (anchors + (values - anchors).clamp(-0.3, 0.3) - targets) ** 2
    for wanted, found in (
        (plain, value_loss(values.detach(), targets)),
        (torch.maximum(plain, held), clipped_value_loss(values.detach(), targets, anchors, 0.3)),
    ):
        (gradient,) = torch.autograd.grad(wanted.sum(), values, retain_graph=True)
        torch.testing.assert_close(found.value, wanted.detach())
        torch.testing.assert_close(found.slope, gradient)
    clipped_slope = clipped_value_loss(values.detach(), targets, anchors, 0.3).slope
    assert 100 < (clipped_slope == 0).sum() < 900


@pytest.mark.parametrize(
    ("value", "target", "loss", "slope"),
    [
        (1.0, 3.0, 7.5625, 0.0),  # moved towards the target beyond the range: no more to gain
        (-1.0, 3.0, 16.0, -8.0),  # moved away from it: pulled back
        (0.125, 3.0, 8.265625, -5.75),  # within the range
    ],
)
def test_value_clipping_holds_gains_only(value, target, loss, slope):
    numbers = (torch.tensor(number) for number in (value, target, 0.0))
    found = clipped_value_loss(*numbers, 0.25)
    assert found.value.item() == loss
    assert found.slope.item() == slope
