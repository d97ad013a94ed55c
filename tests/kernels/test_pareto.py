"""Pareto k-hat in C against torch, on every instruction set, alone and stacked."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from rlcli.kernels.pareto import khat
from rlcli.maths import pareto as slow
from tests.kernels.instruction_sets import same_bits, same_on_each


def logs(samples: int, spread: float) -> Tensor:
    """Log-ratios [4, samples]: light and heavy tails, and one that ends."""
    found = spread * torch.randn(4, samples, dtype=torch.float64)
    found[2] = -spread * torch.rand(samples, dtype=torch.float64).log()
    found[3].clamp_(max=2.0 * spread)
    return found


@pytest.mark.parametrize("samples", [96, 225, 1024, 5001])
@pytest.mark.parametrize("spread", [1e-3, 0.1, 3.0])
def test_the_shape_is_that_of_torch(samples: int, spread: float) -> None:
    given = logs(samples, spread)
    [found] = same_on_each(lambda: [khat(given)])
    torch.testing.assert_close(found, slow.khat(given), rtol=1e-8, atol=1e-9)
    assert not found.isnan().any()
    for run in range(4):
        assert same_bits(khat(given[run : run + 1]), found[run : run + 1])


def test_the_order_of_samples_changes_no_bit() -> None:
    given = logs(1024, 1.0)
    assert same_bits(khat(given[:, torch.randperm(1024)].contiguous()), khat(given))


@pytest.mark.parametrize("atoms", [1, 2, 20, 400, 2_000])
def test_ties_are_those_of_torch(atoms: int) -> None:
    values = 0.02 * torch.randn(atoms, dtype=torch.float64)
    given = values[torch.randint(atoms, (3, 1_024))]
    [found] = same_on_each(lambda: [khat(given)])
    torch.testing.assert_close(found, slow.khat(given), rtol=1e-8, atol=1e-9, equal_nan=True)
    assert bool(found.isnan().all()) == (atoms < 400)


@pytest.mark.parametrize("odd", [math.nan, math.inf])
def test_without_a_tail_there_is_no_shape(odd: float) -> None:
    given = torch.randn(3, 300, dtype=torch.float64)
    given[0], given[1, 7] = 0.0, odd
    assert khat(given).isnan().tolist() == slow.khat(given).isnan().tolist() == [True, True, False]
    assert khat(given[:, :95].contiguous()).isnan().all()
    impossible = given[2:].clone()
    impossible[0, :50] = -math.inf  # ratios of 0
    torch.testing.assert_close(khat(impossible), slow.khat(impossible), rtol=1e-8, atol=1e-9)
