"""Distance between distributions is not distance between parameters, and what the natural gradient costs.

KL(N(m, s) || N(m + d, s)) = d²/(2 s²); near a policy KL ~ ½ Δᵀ F Δ, with the Fisher matrix diag(1/s², 2/s²)
of (mean, std): for the mean exactly, for a std that moves by u s KL = u² - 5/3 u³ + O(u⁴). A step of the
natural gradient solves F x = g: O(N³) by elimination, k matrix products by conjugate gradients (Kakade 2001,
'A Natural Policy Gradient'; Schulman et al. 2015).
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable

import torch
from torch import Tensor

from rlcli.maths.natural import conjugate_gradient
from rlcli.theory.trial import Picture, Statement, Table, Trial

CLAIM = "A step is small if its parameters move little."
FINDING = (
    "The same step of 1 costs a KL of 5.56 in the mean and 0.99 in the std at std 0.3, but 0.056 and 0.069 "
    "at std 3: a ball in parameters is not a ball in policies. The Fisher matrix measures it to second "
    "order: a step of the std that is large for the std costs far less than it says. Conjugate gradients "
    "apply its inverse without ever holding it."
)

STDS = (0.3, 0.5, 1.0, 2.0, 3.0)
SHARES = (0.4, 0.2, 0.1, 0.05, 0.025, 0.0125)
"""Steps of the std as shares of it, each half of the one before."""
SIZES = (10, 30, 100, 300, 1000, 3000)
ITERATIONS = 10
"""Of conjugate gradients, as TRPO takes them."""


def gaussian_kl(move: float, std: float, std_after: float) -> float:
    """KL(N(0, s) || N(d, s')) = log(s'/s) + (s² + d²)/(2 s'²) - ½."""
    return math.log(std_after / std) + (std**2 + move**2) / (2 * std_after**2) - 0.5


def fisher_form(mean_step: float, std_step: float, std: float) -> float:
    """½ Δᵀ F Δ of a step Δ of (mean, std), F = diag(1/s², 2/s²)."""
    return 0.5 * (mean_step**2 + 2.0 * std_step**2) / std**2


def trial(sizes: tuple[int, ...] = SIZES) -> Trial:
    """Steps of 1 in the mean and in the std, ever smaller steps of the std, seconds to solve F x = g."""
    rows = tuple(
        (
            std, 1.0, gaussian_kl(1.0, std, std), fisher_form(1.0, 0.0, std),
            gaussian_kl(0.0, std, std + 1.0), fisher_form(0.0, 1.0, std),
        )
        for std in STDS
    )  # fmt: skip
    names = ("|Δ|", "KL, mean + 1", "½ Δᵀ F Δ, mean + 1", "KL, std + 1", "½ Δᵀ F Δ, std + 1")
    moves = Table(
        "a step of 1: Euclidean length, KL, Fisher",
        ("std", *names),
        rows,
        Picture("std", names, log_x=True, log_y=True),
    )
    order, more = _order()
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
        (moves, order, cost),
        (
            Statement("a mean moved by 1 costs KL 5.55556 at std 0.3", abs(rows[0][2] - 5.555555555) < 1e-8),
            Statement("and 0.0555556 at std 3", abs(rows[-1][2] - 0.05555555555) < 1e-10),
            Statement("a std moved by 1 costs KL 0.992964 at std 0.3", abs(rows[0][4] - 0.9929643) < 1e-7),
            Statement("and 0.0689321 at std 3", abs(rows[-1][4] - 0.06893207) < 1e-8),
            Statement(
                "for the mean the quadratic form is exact", all(abs(r[2] - r[3]) < 1e-12 for r in rows)
            ),
            Statement(
                "for a step of 1 in the std it is within a tenth",
                all(abs(r[4] - r[5]) < 0.1 * r[4] for r in rows),
                expected=False,
            ),
            *more,
            Statement("conjugate gradients solve to 1e-3 of the gradient", all(c[3] < 1e-3 for c in costs)),
        ),
    )


def _order() -> tuple[Table, tuple[Statement, ...]]:
    """The error of the quadratic form of a step of the std, and of half the step."""

    def error(share: float) -> float:
        return fisher_form(0.0, share, 1.0) - gaussian_kl(0.0, 1.0, 1.0 + share)

    rows = tuple(
        (u, gaussian_kl(0.0, 1.0, 1.0 + u), fisher_form(0.0, u, 1.0), error(u), error(u) / error(u / 2))
        for u in SHARES
    )
    table = Table(
        "a step of the std by a share u of it",
        ("u", "KL", "½ Δᵀ F Δ", "error", "error / that of u/2"),
        rows,
        Picture("u", ("KL", "½ Δᵀ F Δ", "error"), log_x=True, log_y=True),
    )
    ratios = [row[4] for row in rows]
    return table, (
        Statement(
            "for the std it is so to second order: half a step has ever nearer an eighth of the error",
            all(a < b < 8.0 for a, b in itertools.pairwise(ratios)) and ratios[-1] > 7.9,
        ),
    )


def _cost(size: int) -> tuple[float, float, float, float]:
    """N, seconds by elimination and by conjugate gradients, and the latter's residual over |g|."""
    draw = torch.Generator().manual_seed(size)
    factor = torch.randn(size, size, dtype=torch.float64, generator=draw) / math.sqrt(size)
    fisher = 0.05 * factor @ factor.T + torch.eye(size, dtype=torch.float64)
    gradient = torch.randn(1, size, dtype=torch.float64, generator=draw)

    def by_elimination() -> Tensor:
        solution: Tensor = torch.linalg.solve(fisher, gradient[0])
        return solution

    def by_products() -> Tensor:
        damping = torch.zeros(1, dtype=torch.float64)
        return conjugate_gradient(lambda x: x @ fisher, gradient, ITERATIONS, damping).x

    residual = (by_products() @ fisher - gradient).norm() / gradient.norm()
    return float(size), _seconds(by_elimination), _seconds(by_products), residual.item()


def _seconds(solve: Callable[[], Tensor]) -> float:
    """The shortest of three times: what else the machine does only adds."""
    found = []
    for _ in range(3):
        begun = time.perf_counter()
        solve()
        found.append(time.perf_counter() - begun)
    return min(found)
