"""Conjugate gradients against `solve`."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from rlcli.maths.natural import (
    conjugate_gradient,
)
from tests.maths.networks import (
    column,
    positive_matrices,
    times,
)


def test_conjugate_gradients_solve_the_system():
    matrices, b = positive_matrices(4, 12), torch.randn(4, 12, dtype=torch.float64)
    found = conjugate_gradient(times(matrices), b, 40, torch.full((4, 1), 1e-12))
    torch.testing.assert_close(found.x, torch.linalg.solve(matrices, b), rtol=1e-8, atol=1e-8)


def test_each_iteration_is_the_best_in_its_krylov_space():
    matrices, b = positive_matrices(3, 10), torch.randn(3, 10, dtype=torch.float64)
    for count in (1, 3, 6):
        powers = [b]
        for _ in range(count - 1):
            powers.append(times(matrices)(powers[-1]))
        basis, _ = torch.linalg.qr(torch.stack(powers, -1))
        inner = torch.linalg.solve(basis.mT @ matrices @ basis, basis.mT @ b.unsqueeze(-1))
        found = conjugate_gradient(times(matrices), b, count, torch.zeros(3, 1))
        torch.testing.assert_close(found.x, (basis @ inner).squeeze(-1), rtol=1e-7, atol=1e-9)
        assert found.iterations.tolist() == [count] * 3


@pytest.mark.broken_by(
    "conjugate gradients that end with their first run",
    "maths/natural.py",
    "if not active.any():",
    "if not active.all():",
)
def test_a_run_stops_at_its_own_tolerance_and_stays_there():
    matrix, b = (
        positive_matrices(1, 12).expand(3, -1, -1),
        torch.randn(1, 12, dtype=torch.float64).expand(3, -1),
    )
    tolerance = column(1e-1, 1e-4, 0.5)
    found = conjugate_gradient(times(matrix), b, 40, tolerance)
    residual = (b - times(matrix)(found.x)).norm(dim=-1) / b.norm(dim=-1)
    assert (residual <= tolerance.squeeze(-1) * (1 + 1e-6)).all()
    loose, tight, loosest = found.iterations.tolist()
    assert 0 < loosest < loose < tight < 40
    for run, count in enumerate(found.iterations.tolist()):
        stopped = conjugate_gradient(times(matrix), b, count, torch.zeros(3, 1))
        assert torch.equal(stopped.x[run], found.x[run])
        earlier = conjugate_gradient(times(matrix), b, count - 1, torch.zeros(3, 1)).x[run]
        assert (b[run] - times(matrix)(earlier[None])[0]).norm() > tolerance[run] * b[run].norm()


def test_no_product_is_computed_for_runs_that_are_all_done():
    matrices, products = positive_matrices(2, 12), []

    def counted(tangent: Tensor) -> Tensor:
        products.append(tangent)
        return times(matrices)(tangent)

    b = torch.randn(2, 12, dtype=torch.float64)
    b[1] = 0.0
    found = conjugate_gradient(counted, b, 40, column(1e-3, 1e-3))
    assert 0 < found.iterations[0].item() == len(products) < 40
    assert found.iterations[1].item() == 0


def test_a_direction_without_curvature_ends_the_search_with_what_was_found():
    matrices = torch.diag_embed(torch.tensor([[1.0, 0.0], [1.0, -1.0], [-1.0, -1.0], [1.0, 2.0]])).double()
    b = torch.tensor([[1.0, 0.5], [1.0, 0.5], [1.0, 0.5], [1.0, 0.5]]).double()
    found = conjugate_gradient(times(matrices), b, 10, torch.full((4, 1), 1e-10))
    assert found.x.isfinite().all()
    # Indefinite: the first direction's curvature is 0.75, the next one's is negative.
    assert found.iterations.tolist()[1:] == [1, 0, 2]
    torch.testing.assert_close(found.x[1], b[1] * (1.25 / 0.75))
    assert (found.x[2] == 0).all()
    torch.testing.assert_close(found.x[3], torch.tensor([1.0, 0.25]).double())


def test_nothing_that_is_not_finite_enters_the_solution():
    matrices, b = positive_matrices(3, 4), torch.randn(3, 4, dtype=torch.float64)
    b[0, 1], b[1, 2] = math.inf, math.nan
    found = conjugate_gradient(times(matrices), b, 5, torch.full((3, 1), 1e-10))
    assert (found.x[:2] == 0.0).all()
    assert (found.x[2] != 0.0).all()
