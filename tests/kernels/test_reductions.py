"""Means over samples and steps in C against torch, on every instruction set, alone and stacked."""

from __future__ import annotations

import math

import pytest
import torch

from rlcli.kernels.reductions import capped_ratios, clip_budget, means, step_means
from rlcli.maths import surrogates
from tests.kernels.instruction_sets import same_bits, same_on_each


@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (5, 8), (2, 1023), (4, 2, 256)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_means_over_samples(shape, dtype):
    samples = 100.0 * torch.randn(shape, dtype=dtype)
    [found] = same_on_each(lambda: [means(samples)])
    torch.testing.assert_close(found, samples.double().mean(-1), rtol=1e-12, atol=1e-12)
    for row in range(shape[0]):
        assert same_bits(means(samples[row]), found[row])


def test_no_samples_have_no_mean():
    assert means(torch.zeros(2, 0)).isnan().all()


def steps(count: int, runs: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(count, runs, 6, dtype=torch.float64), torch.rand(count, runs) < 0.7


@pytest.mark.broken_by(
    "kernels: means over steps that were refused too",
    "kernels/reductions.py",
    'pointer("accepted", accepted, torch.bool, (steps, runs))',
    'pointer("accepted", torch.ones_like(accepted), torch.bool, (steps, runs))',
    case="16-5",
)
@pytest.mark.parametrize(("count", "runs"), [(1, 1), (16, 5), (320, 3)])
def test_means_over_the_steps_that_were_accepted(count, runs):
    figures, accepted = steps(count, runs)
    accepted[0] = True
    found = same_on_each(lambda: step_means(figures, accepted))
    mask = accepted.unsqueeze(-1)
    torch.testing.assert_close(found[0], (mask * figures).sum(0) / mask.sum(0), rtol=1e-12, atol=1e-12)
    assert torch.equal(found[1], torch.where(mask, figures, -math.inf).amax(0))
    assert torch.equal(found[2], accepted.double().sum(0))
    for row in range(runs):
        alone = step_means(figures[:, row : row + 1], accepted[:, row : row + 1])
        assert all(same_bits(one, other[row : row + 1]) for one, other in zip(alone, found, strict=True))


def test_steps_without_numbers_or_of_no_run():
    figures, accepted = steps(8, 3)
    accepted[:] = True
    accepted[:, 1] = False
    figures[3, 2, 4] = torch.nan
    found = step_means(figures, accepted)
    assert found.means[0].isfinite().all()
    assert found.means[1].isnan().all()
    assert (found.largest[1] == -math.inf).all()
    assert found.means[2].isnan().tolist() == found.largest[2].isnan().tolist() == [False] * 4 + [True, False]


@pytest.mark.parametrize("runs", [1, 5])
def test_ratios_under_a_cap(runs):
    above, below = torch.randn(2, runs, 300)
    above[0, :3] = torch.tensor([torch.nan, torch.inf, -torch.inf])
    cap = torch.linspace(1.0, 2.0, runs).unsqueeze(1)
    [found] = same_on_each(lambda: [capped_ratios(above, below, cap)])
    ratios = (above - below).exp()
    wanted = torch.where(ratios > cap, cap, ratios)
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=0.0, equal_nan=True)


def test_the_budget_of_a_clip_range():
    clip = torch.tensor([0.0, 1e-9, 0.1, 0.2, 0.999, 1.0, 2.0], dtype=torch.float64)
    [found] = same_on_each(lambda: [clip_budget(clip)])
    torch.testing.assert_close(found, surrogates.clip_budget(clip), rtol=1e-14, atol=0.0, equal_nan=True)


def test_arguments_of_another_kind_are_refused():
    with pytest.raises(ValueError, match="samples: expected float32 or float64"):
        means(torch.zeros(2, 3, dtype=torch.int64))
    with pytest.raises(ValueError, match="accepted: expected"):
        step_means(torch.zeros(2, 3, 4, dtype=torch.float64), torch.zeros(2, 4, dtype=torch.bool))
    with pytest.raises(ValueError, match="cap: expected"):
        capped_ratios(torch.zeros(2, 3), torch.zeros(2, 3), torch.zeros(3, 1))
