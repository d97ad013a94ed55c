"""Whitening in C against that in torch, on every instruction set; minibatches in a run's order."""

from __future__ import annotations

import pytest
import torch

from rlcli.kernels.whiten import whiten, whiten_minibatches
from rlcli.learner.draws import shuffle
from rlcli.maths import estimators
from tests.kernels.instruction_sets import same_bits, same_on_each


@pytest.mark.parametrize("samples", [2, 3, 7, 8, 9, 31, 256, 1023, 1024])
@pytest.mark.parametrize("runs", [1, 5])
def test_rows_are_whitened_as_by_torch(runs, samples):
    values = torch.randn(runs, samples) * 30.0 + torch.linspace(-5.0, 500.0, runs).unsqueeze(1)
    [found] = same_on_each(lambda: [whiten(values)])
    torch.testing.assert_close(found, estimators.whiten(values), rtol=1e-3, atol=1e-3)
    # As torch has it in float64, rounded once, to the last place.
    torch.testing.assert_close(found, estimators.whiten(values.double()).float(), rtol=2e-7, atol=1e-7)
    for row in range(runs):
        assert same_bits(whiten(values[row]), found[row])


@pytest.mark.parametrize("value", [0.0, -0.0, 3.3, 1e-30, -3e38, 1e-45])
@pytest.mark.parametrize("samples", [1, 3, 1024])
def test_what_does_not_differ_is_zero(value, samples):
    values = torch.full((2, samples), value)
    values[:, 0] *= 1.0 + 1e-7
    [found] = same_on_each(lambda: [whiten(values)])
    assert same_bits(found, torch.zeros(2, samples))


def test_rows_whose_squares_overflow_a_float():
    values = torch.randn(3, 50) * torch.tensor([[1e38], [1.0], [1e-20]])
    [found] = same_on_each(lambda: [whiten(values)])
    torch.testing.assert_close(found[:2], estimators.whiten(values)[:2], rtol=1e-5, atol=1e-6)
    assert 0.0 < found[2].abs().max() < 1e-11  # the divisor is at least 1e-8


@pytest.mark.parametrize("odd", [torch.nan, torch.inf, -torch.inf])
def test_one_odd_value_makes_its_row_nan(odd):
    values = torch.randn(2, 20)
    values[0, 13] = odd
    [found] = same_on_each(lambda: [whiten(values)])
    assert found[0].isnan().all()
    assert found[1].isfinite().all()


@pytest.mark.parametrize(("runs", "samples", "parts"), [(1, 1024, 4), (5, 60, 3), (2, 7, 7), (3, 8, 1)])
def test_minibatches_are_those_of_an_order_each_whitened(runs, samples, parts):
    values = torch.randn(runs, samples) + 2.0
    order = torch.stack([torch.randperm(samples) for _ in range(runs)])
    [found] = same_on_each(lambda: [whiten_minibatches(values, order, parts)])
    assert same_bits(found, whiten(shuffle(order, parts)(values)))


def test_an_index_outside_reads_nothing():
    order = torch.arange(8).unsqueeze(0).clone()
    order[0, 5] = 8
    order[0, 6] = -1
    found = whiten_minibatches(torch.randn(1, 8), order, 2)
    assert found[0].isfinite().all()
    assert found[1].isnan().all()


def test_arguments_of_another_kind_are_refused():
    with pytest.raises(ValueError, match=r"advantages: expected .*float32"):
        whiten(torch.zeros(2, 3, dtype=torch.float64))
    with pytest.raises(ValueError, match="parts: expected a divisor of 6 samples, got 4"):
        whiten_minibatches(torch.zeros(2, 6), torch.zeros(2, 6, dtype=torch.int64), 4)
    with pytest.raises(ValueError, match="order: expected"):
        whiten_minibatches(torch.zeros(2, 6), torch.zeros(2, 5, dtype=torch.int64), 2)
    with pytest.raises(ValueError, match="expected samples"):
        whiten(torch.zeros(2, 0))
