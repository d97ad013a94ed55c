"""Figures of gradient steps in C against torch, on every instruction set, alone and stacked."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from rlcli.kernels import steps
from rlcli.learner import comparison
from rlcli.learner.algorithm import Losses
from rlcli.nets.network import ACTOR
from tests.kernels.instruction_sets import same_bits, same_on_each


@pytest.mark.broken_by(
    "kernels: steps that were not taken for those that were",
    "kernels/steps.py",
    "return losses, accepted",
    "return losses, ~accepted",
)
@pytest.mark.parametrize("shape", [(1, 1), (16, 1), (5, 3)], ids=str)
def test_losses_of_steps(shape):
    figures = torch.randn(*shape, 7, dtype=torch.float64)
    figures[..., 6] = (figures[..., 6] > 0).double()
    by_value, by_entropy = coefficients = torch.rand(2, shape[1])
    losses, accepted = same_on_each(lambda: steps.step_losses(figures, coefficients))
    objective, value, entropy, penalty, _, norm, taken = figures.float().unbind(-1)
    total = -objective + by_value * value - by_entropy * entropy + penalty
    assert same_bits(losses, torch.stack((-objective, value, entropy, penalty, total, norm)))
    assert accepted.equal(taken > 0)


@pytest.mark.broken_by(
    "kernels: all epochs but the last are counted",
    "kernels/steps.py",
    "len(columns), steps, len(epochs), len(settings)",
    "len(columns), steps, len(epochs) - 1, len(settings)",
)
@pytest.mark.parametrize("shape", [(1, 1), (16, 1), (37, 3)], ids=str)
def test_figures_of_steps(shape):
    count, runs = shape
    columns, accepted = list(torch.randn(6, *shape).unbind(0)), torch.rand(shape) > 0.3
    accepted[0] = True
    epochs = [torch.ones(runs, dtype=torch.bool), torch.rand(runs) > 0.5]
    spent, budget = torch.rand(2, runs, dtype=torch.float64)
    settings = [torch.rand(runs, 1), torch.full((runs, 1), math.inf)]
    if count > 1:
        columns[0][1, 0], accepted[1, 0] = math.nan, True
        columns[5][1, 0] = math.nan
    else:
        budget[0] = 0.0
    [found] = same_on_each(lambda: [steps.step_figures(columns, accepted, epochs, spent, budget, settings)])
    improvement = SimpleNamespace(
        losses=Losses(*columns[:5]), gradient_norms=columns[5], accepted=accepted, epochs=epochs
    )
    wanted = comparison.step_figures(improvement, spent, budget, settings)
    torch.testing.assert_close(found, wanted, rtol=1e-13, atol=1e-14, equal_nan=True)
    assert found[-1].isnan().all()
    for run in range(runs):
        own = slice(run, run + 1)
        alone = steps.step_figures(
            [column[:, own].contiguous() for column in columns], accepted[:, own].contiguous(),
            [epoch[own] for epoch in epochs], spent[own], budget[own], [setting[own] for setting in settings],
        )  # fmt: skip
        assert same_bits(alone, found[:, own])


@pytest.mark.broken_by(
    "kernels: growth of no step", "kernels/steps.py", 'pointer("before", before,', 'pointer("before", after,'
)
@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("shape", [(1, 9), (3, 1031)], ids=str)
def test_growth_to_first_order(shape, ordered):
    part = slice(2, shape[1] - 3)
    gradient, before, after = torch.randn(shape)[:, part].contiguous(), torch.randn(shape), torch.randn(shape)
    order = torch.randperm(shape[1]) if ordered else None
    [found] = same_on_each(lambda: [steps.first_order(gradient, part, before, after, order)])
    network = SimpleNamespace(parts={ACTOR: part}, order=order)
    wanted = comparison.first_order(network, gradient, before, after)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    for run in range(shape[0]):
        own = slice(run, run + 1)
        assert same_bits(steps.first_order(gradient[own], part, before[own], after[own], order), found[own])


@pytest.mark.broken_by(
    "kernels: the last number may be anything",
    "kernels/steps.py",
    "runs, count, values.data_ptr()",
    "runs, count - 1, values.data_ptr()",
    case="inf-True",
)
@pytest.mark.parametrize("transposed", [True, False])
@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_are_found(odd, transposed):
    values = torch.randn(3, 40)
    values[1, 39] = odd
    given = values.T.contiguous().T if transposed else values
    [found] = same_on_each(lambda: [steps.all_finite(given)])
    assert found.tolist() == [True, False, True]
    assert steps.all_finite(torch.zeros(2, 0)).all()


def test_arguments_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="parameters"):
        steps.first_order(torch.zeros(1, 5), slice(4, 9), torch.zeros(1, 8), torch.zeros(1, 8), None)
    with pytest.raises(ValueError, match="values"):
        steps.all_finite(torch.zeros(1, 2, dtype=torch.float64))
