"""Pareto k-hat against a slow derivation, the likelihood's maximum, and tails whose shape is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor

from rlcli.maths.pareto import khat, pareto_shape, smallest_batch, tail_length


def slow_shape(excess: list[float]) -> float:
    """Zhang and Stephens' posterior mean point by point, and the prior towards 0.5."""
    count = len(excess)
    points = 30 + int(math.sqrt(count))
    quartile = excess[int(count / 4 + 0.5) - 1]

    def shape(theta: float) -> float:
        return sum(math.log(1 - theta * x) for x in excess) / count

    def log_likelihood(theta: float) -> float:
        k = shape(theta)
        return count * (math.log(-theta / k) - k - 1)

    grid = [
        1 / excess[-1] + (1 - math.sqrt(points / (j - 0.5))) / (3 * quartile) for j in range(1, points + 1)
    ]
    profile = [log_likelihood(theta) for theta in grid]
    mass = [1 / sum(math.exp(other - own) for other in profile) for own in profile]
    k = shape(sum(theta * weight for theta, weight in zip(grid, mass, strict=True)))
    return (count * k + 5) / (count + 10)


def excesses(shape: float, count: int, runs: int = 3) -> Tensor:
    drawn = scipy.stats.genpareto.rvs(shape, size=(runs, count), random_state=np.random.default_rng(count))
    return torch.from_numpy(np.sort(drawn, axis=-1))


@pytest.mark.broken_by(
    "a tail drawn towards 0",
    "maths/pareto.py",
    "count * found + PRIOR_SAMPLES * PRIOR_SHAPE",
    "count * found",
)
@pytest.mark.parametrize("shape", [-0.4, 0.2, 0.7, 1.5])
@pytest.mark.parametrize("count", [20, 97])
def test_the_shape_is_that_of_the_slow_derivation(shape: float, count: int) -> None:
    found = excesses(shape, count)
    assert pareto_shape(found).tolist() == pytest.approx(
        [slow_shape(row.tolist()) for row in found], rel=1e-10
    )


@pytest.mark.parametrize("shape", [-0.3, 0.01, 0.3, 0.7, 1.2])
def test_of_many_samples_it_is_the_likeliest_shape(shape: float) -> None:
    found = excesses(shape, 4_000, runs=1)
    likeliest = scipy.stats.genpareto.fit(found[0].numpy(), floc=0)[0]
    assert pareto_shape(found).item() == pytest.approx(likeliest, abs=0.006)


@pytest.mark.broken_by(
    "excesses over a weight far below the tail",
    "maths/pareto.py",
    "log < tail[..., :1] - RESOLUTION",
    "log < tail[..., :1] - 1.0",
)
def test_weights_with_a_pareto_tail_have_its_shape() -> None:
    """w = u^(-k) of uniform u has P(w > x) = x^(-1/k): above any threshold a tail of shape k exactly."""
    u = torch.rand(8, 20_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    tails = [khat(-k * u.log()).mean().item() for k in (0.25, 0.5, 0.75, 1.0)]
    assert tails == pytest.approx([0.25, 0.5, 0.75, 1.0], abs=0.06)


def test_a_wider_target_has_the_shape_of_its_tail() -> None:
    """mu = N(0,1), pi = N(0,s): E[w^m] exists for m < s^2/(s^2 - 1), so the shape is 1 - 1/s^2.

    At s^2 >= 2 the variance of the weights is infinite, k >= 1/2; the fit sees it from 1/2 on roughly.
    """
    z = torch.randn(4, 200_000, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for s, tolerance in ((1.5, 0.1), (2.0, 0.12)):
        log_ratio = -math.log(s) + z * z * (1 - 1 / s**2) / 2
        assert khat(log_ratio).mean().item() == pytest.approx(1 - 1 / s**2, abs=tolerance)


def test_a_common_factor_and_the_order_of_samples_change_nothing() -> None:
    log = 2 * torch.randn(5, 400, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    again = khat((log + 500.0).flip(-1))
    assert again.tolist() == pytest.approx(khat(log).tolist(), rel=1e-9)


def test_each_run_is_its_own() -> None:
    log = torch.randn(3, 256, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    assert khat(log).tolist() == [khat(row).item() for row in log]


def test_without_a_tail_there_is_no_shape() -> None:
    assert (smallest_batch(), tail_length(smallest_batch()), tail_length(1024)) == (96, 20, 96)
    assert khat(torch.randn(2, 95)).isnan().all()
    assert khat(torch.zeros(2, 1_000)).isnan().all()
    mixed = khat(torch.stack([torch.zeros(200), torch.randn(200)]))
    assert mixed.isnan().tolist() == [True, False]


@pytest.mark.broken_by(
    "a shape is fitted to few different weights",
    "maths/pareto.py",
    "4 * different >= length",
    "different >= 2",
)
@pytest.mark.parametrize("atoms", [2, 4, 16, 40])
@pytest.mark.parametrize("noise", [0.0, 1e-8])
def test_few_different_weights_have_no_shape(atoms: int, noise: float) -> None:
    """As where states are few and a batch visits each again and again, now and then with another rounding."""
    drawn = np.random.default_rng(atoms)
    values = drawn.normal(scale=0.02, size=(3, atoms))
    log = torch.from_numpy(np.stack([drawn.choice(row, 1_024) for row in values]))
    assert khat(log + noise * torch.rand(log.shape)).isnan().all()


@pytest.mark.broken_by(
    "ties at the edge of the tail have an excess of 0",
    "maths/pareto.py",
    "log < tail[..., :1] - RESOLUTION",
    "log <= log[..., -length - 1, None]",
)
def test_ties_at_the_edge_of_the_tail_do_not_make_it_heavy() -> None:
    """Uniform weights, whose tail has an end, but that 60 at its edge are one."""
    log = torch.linspace(0.9, 1.1, 1_024, dtype=torch.float64).log()
    log[-110:-50] = log[-80]
    assert khat(log).item() < 0


def test_bounded_ratios_have_a_tail_that_ends() -> None:
    log = torch.empty(4, 2_000, dtype=torch.float64).uniform_(
        -0.2, 0.2, generator=torch.Generator().manual_seed(4)
    )
    assert (khat(log) < 0).all()
