"""Deviations that depend on the state, and squashed actions: closed forms, integrals, finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from rlcli.config.rules.networks import HIGHEST_LOG_STD
from rlcli.envs.spec import ActionSpec
from rlcli.maths.distribution import Distribution
from rlcli.maths.distributions import DiagonalGaussian, GaussianFamily
from rlcli.maths.gaussians import (
    HIGHEST,
    LOWEST,
    Squashed,
    SquashedFamily,
    StateGaussian,
    StateGaussianFamily,
)
from rlcli.maths.squash import expected_log_slope, log_slope, slopes_of_expectation

R, B, A = 2, 3, 2
exactly = {"rtol": 1e-13, "atol": 1e-15}


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def state(seed: int) -> StateGaussian:
    means, spreads = draw(R, B, A, seed=seed), 0.5 * draw(R, B, A, seed=seed + 9)
    return StateGaussian(torch.cat((means, spreads), -1), -0.3)


def clipped(seed: int) -> StateGaussian:
    """The first log deviation of each state is above the range."""
    found = state(seed)
    found.output[..., A] += 9.0
    return found


def free(seed: int) -> DiagonalGaussian:
    return DiagonalGaussian(draw(R, B, A, seed=seed), 0.5 * draw(R, 1, A, seed=seed + 9))


KINDS = {
    "state": state,
    "state, some clipped": clipped,
    "squashed": lambda seed: Squashed(free(seed), 0.7),
    "squashed, state": lambda seed: Squashed(state(seed), 0.7),
}
ACTIONS = draw(R, B, A, seed=5)
WEIGHTS, SPREAD = draw(R, B, seed=6), draw(R, B, seed=7)


def difference(policy: Distribution, total) -> tuple[Tensor, Tensor]:
    """∇ of a function of distributions by central differences."""
    found = []
    for place, given in enumerate(policy.outputs):
        slopes = torch.zeros_like(given)
        for index in np.ndindex(*given.shape):
            moved = []
            for step in (1e-6, -1e-6):
                parts = [part.clone() for part in policy.outputs]
                parts[place][index] += step
                moved.append(total(policy.like(*parts)))
            slopes[index] = (moved[0] - moved[1]) / 2e-6
        found.append(slopes)
    return found[0], found[1]


def agree(found: tuple[Tensor, Tensor], wanted: tuple[Tensor, Tensor]) -> None:
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7)


@pytest.mark.broken_by(
    "clipped log deviations with a gradient",
    "maths/gaussians.py",
    "by_raw = torch.where(self._unclipped == self.log_std, by_log_std, 0.0)",
    "by_raw = by_log_std",
    case="state, some clipped",
)
@pytest.mark.broken_by(
    "the entropy's gradient without the squashing",
    "maths/gaussians.py",
    "return found[0] + added[0], found[1] + added[1]",
    "return found",
    case="squashed",
)
@pytest.mark.broken_by(
    "the log-determinant's slope of the wrong sign",
    "maths/squash.py",
    "return -2.0 * by_mean,",
    "return 2.0 * by_mean,",
    case="squashed, state",
)
@pytest.mark.broken_by(
    "the deviation in the reverse KL not weighed",
    "maths/gaussians.py",
    "return self.pulled(by_mean, taken * widening)",
    "return self.pulled(by_mean, widening)",
    case="state",
)
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_finite_differences(kind):
    policy, other = KINDS[kind](0), KINDS[kind](1)
    agree(
        policy.pullback(ACTIONS, WEIGHTS, SPREAD),
        difference(policy, lambda at: (WEIGHTS * at.log_prob(ACTIONS) + SPREAD * at.entropy()).sum()),
    )
    agree(
        policy.pullback_kl_from(other, WEIGHTS),
        difference(policy, lambda at: (WEIGHTS * other.kl(at)).sum()),
    )
    agree(
        policy.pullback_kl_to(other, WEIGHTS), difference(policy, lambda at: (WEIGHTS * at.kl(other)).sum())
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_fisher_matrix_is_the_hessian_of_the_kl(kind):
    policy = KINDS[kind](0)
    tangent = tuple(draw(*part.shape, seed=3) for part in policy.outputs)
    found = policy.fisher(*tangent)
    step = 1e-6
    ahead, behind = (
        [given + size * along for given, along in zip(policy.outputs, tangent, strict=True)]
        for size in (step, -step)
    )
    ones = torch.ones(R, B, dtype=torch.float64)
    slopes = [policy.like(*moved).pullback_kl_from(policy, ones) for moved in (ahead, behind)]
    wanted = [(one - other) / (2 * step) for one, other in zip(*slopes, strict=True)]
    torch.testing.assert_close(found[0], wanted[0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found[1], wanted[1] / B, rtol=1e-5, atol=1e-6)


def test_deviations_of_the_state_are_those_of_a_gaussian_at_each():
    policy, other = state(0), state(1)
    for r in range(R):
        for b in range(B):
            alone, its = (
                DiagonalGaussian(one.mean[r, b], (one.output[r, b, A:] - 0.3)) for one in (policy, other)
            )
            torch.testing.assert_close(policy.log_prob(ACTIONS)[r, b], alone.log_prob(ACTIONS[r, b]))
            torch.testing.assert_close(policy.entropy()[r, b], alone.entropy())
            torch.testing.assert_close(policy.kl(other)[r, b], alone.kl(its))
            assert policy.divergences(other).backward[r, b] == other.kl(policy)[r, b]


def test_log_deviations_stay_in_their_range():
    raw = torch.tensor([[[0.0, 0.0, 0.0, 50.0, -50.0, 1.0]]])
    assert StateGaussian(raw, 0.5).log_std.tolist() == [[[HIGHEST, LOWEST, 1.5]]]
    assert StateGaussian(raw, 0.5).double().log_std.tolist() == [[[HIGHEST, LOWEST, 1.5]]]
    assert HIGHEST == HIGHEST_LOG_STD
    noise = np.array([[[1.0, 1.0, 1.0]]], np.float32)
    found = StateGaussianFamily(3, 0.5).act(raw.numpy(), np.zeros((1, 1, 0)), noise)
    np.testing.assert_allclose(found[0, 0], np.exp([HIGHEST, LOWEST, 1.5]), rtol=1e-6)
    assert found.dtype == np.float32
    assert not StateGaussianFamily(3, 0.5).act(raw.numpy(), np.zeros((1, 1, 0)), None).any()


@pytest.mark.broken_by(
    "the log-determinant as it is written in textbooks",
    "maths/squash.py",
    "return 2.0 * (LOG_2 - size - torch.exp(-2.0 * size).log1p())",
    "return (1.0 - torch.tanh(u) ** 2).log()",
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_log_determinant_at_the_edge(dtype):
    """Where tanh is ±1 to the last bit: log(1 - tanh² u) = log 4 - 2 |u| + O(exp(-2 |u|))."""
    u = torch.tensor([20.0, -20.0, 50.0, -50.0, 1e4, -1e4], dtype=dtype)
    assert (torch.tanh(u).abs() == 1.0).all()
    torch.testing.assert_close(log_slope(u), math.log(4.0) - 2.0 * u.abs(), rtol=1e-6, atol=0.0)
    small = torch.linspace(-3.0, 3.0, 61, dtype=dtype)
    close = 1e-12 if dtype == torch.float64 else 2e-5
    torch.testing.assert_close(log_slope(small), (1 - small.tanh() ** 2).log(), rtol=close, atol=close)


@pytest.mark.broken_by(
    "the expectation at the mean alone",
    "maths/squash.py",
    "spread = torch.sqrt((std * std).unsqueeze(-1) + 0.5 / (scales * scales))",
    "spread = torch.sqrt((0.0 * std).unsqueeze(-1) + 0.5 / (scales * scales))",
    case="1.0",
)
@pytest.mark.parametrize("std", [1e-9, 0.1, 1.0, 4.0, 50.0])
def test_expectations_are_fine_integrals(std):
    x = torch.linspace(-9.0, 9.0, 40_001, dtype=torch.float64)
    density = torch.exp(-0.5 * x * x) / math.sqrt(2 * math.pi) * (x[1] - x[0])
    means = torch.tensor([-3.0, 0.0, 0.4, 1.3, 90.0], dtype=torch.float64)
    found = expected_log_slope(means, torch.full_like(means, std))
    by_mean, by_log_std = slopes_of_expectation(means, torch.full_like(means, std))
    for place, mean in enumerate(means.tolist()):
        u = mean + std * x
        wanted = (density * log_slope(u)).sum()
        assert abs(found[place] - wanted) < 5e-7
        assert abs(by_mean[place] - (density * -2 * torch.tanh(u)).sum()) < 5e-7
        assert abs(by_log_std[place] - (density * -2 * torch.tanh(u) * std * x).sum()) < 5e-7 * max(1, std)


def test_the_density_of_squashed_actions_is_one_and_has_this_entropy():
    """By an integral over actions a, through the inverse of squashing."""
    low, high = torch.tensor(-1.0).double(), torch.tensor(4.0).double()
    scale = 0.5 * (high - low)
    base = DiagonalGaussian(torch.tensor([[[0.3]]]).double(), torch.tensor([[[-0.2]]]).double())
    policy = Squashed(base, float(scale.log()))
    y = torch.linspace(-1, 1, 400_003, dtype=torch.float64)[1:-1]
    u = torch.atanh(y).view(1, -1, 1)
    log_density = policy.log_density(u)
    width = scale * (y[1] - y[0])
    assert (log_density.exp() * width).sum().item() == pytest.approx(1.0, abs=1e-8)
    assert -(log_density.exp() * log_density * width).sum().item() == pytest.approx(
        policy.entropy().item(), 1e-6
    )


def test_squashing_changes_no_ratio_and_no_divergence():
    for base, other in ((free(0), free(1)), (state(0), state(1))):
        policy, its = Squashed(base, 1.3), Squashed(other, 1.3)
        assert torch.equal(policy.log_prob(ACTIONS), base.log_prob(ACTIONS))
        assert torch.equal(policy.kl(its), base.kl(other))
        assert torch.equal(policy.divergences(its).backward, other.kl(base))
        for found, wanted in (
            (policy.pullback(ACTIONS, WEIGHTS, None), base.pullback(ACTIONS, WEIGHTS, None)),
            (policy.pullback_kl_from(its, WEIGHTS), base.pullback_kl_from(other, WEIGHTS)),
            (policy.pullback_kl_to(its, WEIGHTS), base.pullback_kl_to(other, WEIGHTS)),
        ):
            assert all(torch.equal(one, two) for one, two in zip(found, wanted, strict=True))
        assert policy.tv(its) is None


def test_the_entropy_of_a_batch_does_not_depend_on_its_size():
    policy = Squashed(StateGaussian(draw(4, 33, 6)), 0.0)
    alone = [Squashed(StateGaussian(policy.outputs[0][r : r + 1]), 0.0).entropy() for r in range(4)]
    assert torch.equal(policy.entropy(), torch.cat(alone))


LOW, HIGH = np.array([-2.0, 0.0], np.float32), np.array([2.0, 0.1], np.float32)


@pytest.mark.broken_by(
    "squashed to the middle of the bounds",
    "envs/spec.py",
    "cast = self.low + (self.high - self.low) * (0.5 * (np.tanh(cast) + 1.0))",
    "cast = (self.high - self.low) * (0.5 * (np.tanh(cast) + 1.0))",
)
def test_squashed_actions_reach_their_bounds_and_no_more():
    action = ActionSpec("box", (2,), np.dtype(np.float32), low=LOW, high=HIGH).squashes()
    u = np.array([[[0.0, 0.0], [40.0, 40.0], [-40.0, -40.0], [0.5, np.inf]]], np.float32)
    sent = action.to_env(u)
    assert sent.dtype == np.float32
    np.testing.assert_allclose(
        sent[0], [[0.0, 0.05], HIGH, LOW, [2 * math.tanh(0.5), HIGH[1]]], rtol=1e-6, atol=1e-7
    )
    assert ((sent >= LOW) & (sent <= HIGH)).all()
    assert action.log_scale == pytest.approx(math.log(2.0) + math.log(0.05), rel=1e-6)


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(-np.inf, np.inf, "is between -inf and inf"), ([-1.0, 0.0], [1.0, np.inf], r"action\[1\] is between 0"),
     ([0.0, 1.0], [1.0, 1.0], r"action\[1\] is between 1 and 1"), (-3e38, 3e38, r"action\[0\] is between")],
)  # fmt: skip
def test_bounds_that_are_none_cannot_be_squashed_to(low, high, said):
    low, high = (np.broadcast_to(np.array(bound, np.float32), (2,)) for bound in (low, high))
    with np.errstate(over="ignore"), pytest.raises(ValueError, match=said):
        ActionSpec("box", (2,), np.dtype(np.float32), low=low, high=high).squashes()
    with pytest.raises(ValueError, match="its actions are discrete"):
        ActionSpec("discrete", (), np.dtype(np.int64), 3).squashes()


def test_families_draw_what_their_distributions_say():
    output = draw(1, 4, 2 * A).float()
    family = SquashedFamily(StateGaussianFamily(A, 0.2), 0.5)
    noise = family.noise((1, 4), torch.Generator().manual_seed(3))
    policy = family.distribution(output, torch.empty(1, 1, 0))
    mean, log_std = policy.base.moments()
    found = torch.from_numpy(family.act(output.numpy(), np.zeros((1, 1, 0), np.float32), noise.numpy()))
    torch.testing.assert_close(found, mean + log_std.exp() * noise)
    assert (family.output_width, family.free_width) == (2 * A, 0)
    plain = SquashedFamily(GaussianFamily(A), 0.5)
    assert (plain.output_width, plain.free_width) == (A, A)
