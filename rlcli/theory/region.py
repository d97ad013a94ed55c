"""Distance between distributions is not distance between parameters, and what the natural gradient costs.

KL(N(m, s) || N(m + d, s)) = d²/(2 s²); near a policy KL ~ ½ Δᵀ F Δ, with the Fisher matrix diag(1/s², 2/s²)
of (mean, std). A step of the natural gradient solves F x = g: O(N³) by elimination, k matrix products by
conjugate gradients (Kakade 2001, 'A Natural Policy Gradient'; Schulman et al. 2015).
"""

from __future__ import annotations

import math
import time

import torch

from rlcli.maths.natural import conjugate_gradient
from rlcli.theory.trial import Picture, Statement, Table, Trial

CLAIM = "A step is small if its parameters move little."
FINDING = (
    "The same step of 1 in the mean costs a KL of 5.56 at std 0.3 and 0.056 at std 3: a ball in parameters "
    "is not a ball in policies. The Fisher matrix measures it to second order, and conjugate gradients apply "
    "its inverse without ever holding it."
)

STDS = (0.3, 1.0, 3.0)
SIZES = (10, 30, 100, 300, 1000, 3000)
ITERATIONS = 10
"""Of conjugate gradients, as TRPO takes them."""


def gaussian_kl(move: float, std: float, std_after: float) -> float:
    """KL(N(0, s) || N(d, s')) = log(s'/s) + (s² + d²)/(2 s'²) - ½."""
    return math.log(std_after / std) + (std**2 + move**2) / (2 * std_after**2) - 0.5


def trial(sizes: tuple[int, ...] = SIZES) -> Trial:
    """A step of 1 in the mean, of 0.1 s in the std, and seconds to solve F x = g."""
    rows = []
    for std in STDS:
        quadratic = 0.5 / std**2
        wider = gaussian_kl(0.0, std, 1.1 * std)
        rows.append((std, gaussian_kl(1.0, std, std), quadratic, wider, 0.5 * 2.0 * 0.1**2))
    moves = Table(
        "KL of a step",
        ("std", "mean + 1", "½ Δᵀ F Δ", "std x 1.1", "½ Δᵀ F Δ of it"),
        tuple(rows),
    )
    costs = tuple(_cost(size) for size in sizes)
    cost = Table(
        "seconds to solve F x = g of N parameters (this machine)",
        ("N", "elimination", f"{ITERATIONS} conjugate gradients", "residual"),
        costs,
        Picture("N", ("elimination", f"{ITERATIONS} conjugate gradients"), log_x=True, log_y=True),
    )
    return Trial(
        "region",
        CLAIM,
        FINDING,
        (moves, cost),
        (
            Statement("a mean moved by 1 costs KL 5.55556 at std 0.3", abs(rows[0][1] - 5.555555555) < 1e-8),
            Statement("and 0.0555556 at std 3", abs(rows[2][1] - 0.05555555555) < 1e-10),
            Statement(
                "for the mean the quadratic form is exact", all(abs(r[1] - r[2]) < 1e-12 for r in rows)
            ),
            Statement(
                "for the std it is so to second order", all(abs(r[3] - r[4]) < 0.2 * r[4] for r in rows)
            ),
            Statement("conjugate gradients solve to 1e-3 of the gradient", all(c[3] < 1e-3 for c in costs)),
        ),
    )


def _cost(size: int) -> tuple[float, float, float, float]:
    """N, seconds by elimination and by conjugate gradients, and the latter's residual over |g|."""
    draw = torch.Generator().manual_seed(size)
    factor = torch.randn(size, size, dtype=torch.float64, generator=draw) / math.sqrt(size)
    fisher = 0.05 * factor @ factor.T + torch.eye(size, dtype=torch.float64)
    gradient = torch.randn(1, size, dtype=torch.float64, generator=draw)
    begun = time.perf_counter()
    torch.linalg.solve(fisher, gradient[0])
    by_elimination = time.perf_counter() - begun
    begun = time.perf_counter()
    solution = conjugate_gradient(
        lambda x: x @ fisher, gradient, ITERATIONS, torch.zeros(1, dtype=torch.float64)
    )
    by_products = time.perf_counter() - begun
    residual = (solution.x @ fisher - gradient).norm() / gradient.norm()
    return float(size), by_elimination, by_products, residual.item()
