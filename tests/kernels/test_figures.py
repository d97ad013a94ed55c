"""Figures besides health in C against torch, on every instruction set, alone and stacked."""

from __future__ import annotations

import math

import pytest
import torch

from rlcli.kernels import figures, learn
from rlcli.learner import comparison
from rlcli.maths import health, surrogates
from tests.kernels.instruction_sets import same_bits, same_on_each

SURROGATES = {
    "clipped": (
        learn.CLIPPED,
        lambda log, base, given, clip: surrogates.clipped((log - base).exp(), given, clip),
    ),
    "ratio": (
        learn.RATIO,
        lambda log, base, given, _: surrogates.importance_ratio((log - base).exp(), given),
    ),
    "spo": (
        learn.SPO,
        lambda log, base, given, clip: surrogates.penalised_ratio((log - base).exp(), given, clip),
    ),
    "score": (learn.SCORE, lambda log, _, given, __: surrogates.score(log, given)),
}


@pytest.mark.broken_by(
    "kernels: gain from the anchor",
    "kernels/figures.py",
    'pointer("before", before,',
    'pointer("before", base,',
    case="weighted-(3, 7)-score",
)
@pytest.mark.parametrize("surrogate", SURROGATES)
@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (2, 600)], ids=str)
@pytest.mark.parametrize("weighted", [None, "weighted"])
def test_gains(weighted, shape, surrogate):
    code, formula = SURROGATES[surrogate]
    before, after, base = (torch.randn(shape, dtype=torch.float64) for _ in range(3))
    given, clip = torch.randn(shape), torch.full((shape[0], 1), 0.25)
    given[0, 0] = 0.0
    weights = torch.rand(shape) if weighted else None
    grown = (
        formula(after, base, given.double(), clip).value - formula(before, base, given.double(), clip).value
    )
    wanted = (grown if weights is None else weights * grown).mean(-1)
    [found] = same_on_each(lambda: [figures.gain(code, before, after, base, given, clip, weights)])
    torch.testing.assert_close(found, wanted, rtol=1e-11, atol=1e-13)


def test_an_infinite_ratio_of_no_advantage_gains_nothing():
    before, after = torch.zeros(1, 2, dtype=torch.float64), torch.tensor([[1e4, 0.0]], dtype=torch.float64)
    given, clip = torch.tensor([[0.0, 1.0]]), torch.full((1, 1), 0.2)
    assert figures.gain(learn.CLIPPED, before, after, before, given, clip).item() == 0.0


@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (2, 1031)], ids=str)
def test_explained_variance(shape):
    targets = 100.0 + torch.randn(shape)
    values = targets + 0.5 * torch.randn(shape)
    values[0] = targets[0] = 3.0
    [found] = same_on_each(lambda: [figures.explained_variance(values, targets)])
    wanted = health.explained_variance(values.double(), targets.double())
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10, equal_nan=True)
    assert found[0].isnan()


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (5, 3, 4, 2), (64, 2, 8, 6)], ids=str)
@pytest.mark.parametrize("odd", [None, math.nan, math.inf])
def test_errors_of_acting(shape, odd):
    steps, runs, envs, width = shape
    acted = torch.randn(shape)
    batch = acted.transpose(0, 1).reshape(runs, steps * envs, width) + 1e-3 * torch.randn(
        runs, steps * envs, width
    )
    if odd is not None:
        acted[-1, 0, -1, -1] = odd
    [found] = same_on_each(lambda: [figures.acting_error(acted, batch)])
    assert same_bits(found, comparison.acting_error(acted, batch))


def test_ratios_that_are_one():
    initial = torch.randn(6, 40)
    acting = initial.clone()
    acting[1, 39] += 1e-6
    acting[2, 0] = math.nan
    acting[3, 5], initial[3, 5] = math.inf, math.inf
    acting[4, 5], acting[4, 6] = -math.inf, 9.0
    [found] = same_on_each(lambda: [figures.unit_ratios(initial, acting)])
    assert found.equal(comparison.equal(initial, acting))
    assert found.tolist() == [True, False, True, True, True, True]
