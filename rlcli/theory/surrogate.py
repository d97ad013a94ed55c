"""The surrogate, the true return, and lower bounds of it, along a line in parameter space.

J(π') - J(π) = E_{s ~ d', a ~ π'}[A^π]/(1-γ), exactly (Kakade and Langford 2002, lemma 6.1). The surrogate
L(π') = J(π) + E_{s ~ d^π, a ~ π'}[A^π]/(1-γ) keeps the old states. Lower bounds of J(π'):

- Schulman et al. 2015, theorem 1: L - 4 A_max γ/(1-γ)² KL_max, A_max = max_{s,a} |A^π|; with Pinsker's TV²
  <= KL/2 instead of TV² <= KL the factor is 2;
- Achiam et al. 2017, corollary 1: L - 2γ/(1-γ)² ε E_{s ~ d^π}[TV(s)], ε = max_s |E_{a ~ π'}[A^π(s, a)]|.
"""

from __future__ import annotations

from torch import Tensor

from rlcli.theory.process import (
    Process,
    advantages,
    discounted_occupancy,
    expected_return,
    kullback_leibler,
    random_logits,
    random_process,
    total_variation,
)
from rlcli.theory.trial import Picture, Statement, Table, Trial

CLAIM = "The surrogate is a lower bound of the return that may be maximised in its place."
FINDING = (
    "The surrogate alone is none: it lies above the return at some steps and below at others. It has the "
    "return's value and slope at π; less a penalty it is a lower bound, tight at π alone."
)

STEPS = (-2.0, -1.0, -0.3, -0.1, -0.03, 0.0, 0.03, 0.1, 0.3, 1.0, 2.0)
ROUNDING = 1e-12


def surrogate(process: Process, policy: Tensor, moved: Tensor) -> Tensor:
    """L(π'), []."""
    gain = (moved * advantages(process, policy)).sum(-1)
    scale = 1.0 - process.gamma
    return expected_return(process, policy) + discounted_occupancy(process, policy) @ gain / scale


def performance_difference(process: Process, policy: Tensor, moved: Tensor) -> Tensor:
    """E_{s ~ d', a ~ π'}[A^π(s, a)]/(1-γ), []."""
    gain = (moved * advantages(process, policy)).sum(-1)
    return discounted_occupancy(process, moved) @ gain / (1.0 - process.gamma)


def kl_bound(process: Process, policy: Tensor, moved: Tensor, factor: float) -> Tensor:
    """L - factor A_max γ/(1-γ)² KL_max, []; factor 4 as published, 2 with Pinsker's inequality."""
    gamma, largest = process.gamma, advantages(process, policy).abs().max()
    penalty = factor * largest * gamma / (1.0 - gamma) ** 2 * kullback_leibler(policy, moved).max()
    return surrogate(process, policy, moved) - penalty


def average_bound(process: Process, policy: Tensor, moved: Tensor) -> Tensor:
    """L - 2γ/(1-γ)² ε E_{s ~ d^π}[TV(s)], []."""
    gamma = process.gamma
    epsilon = (moved * advantages(process, policy)).sum(-1).abs().max()
    distance = discounted_occupancy(process, policy) @ total_variation(policy, moved)
    return surrogate(process, policy, moved) - 2.0 * gamma / (1.0 - gamma) ** 2 * epsilon * distance


def trial() -> Trial:
    """Values along a random line of logits through π."""
    process = random_process(6, 3, 0.9, seed=1)
    logits, direction = random_logits(6, 3, seed=2), random_logits(6, 3, seed=4)
    policy = logits.softmax(-1)
    base = expected_return(process, policy)
    rows, identity = [], 0.0
    for step in STEPS:
        moved = (logits + step * direction).softmax(-1)
        true = expected_return(process, moved)
        identity = max(identity, (true - base - performance_difference(process, policy, moved)).abs().item())
        bounds = (kl_bound(process, policy, moved, 4.0), kl_bound(process, policy, moved, 2.0))
        values = (surrogate(process, policy, moved), true, *bounds, average_bound(process, policy, moved))
        rows.append((step, *(value.item() for value in values)))
    names = ("step", "L", "J", "L - 4 A γ KL/(1-γ)²", "L - 2 A γ KL/(1-γ)²", "L - average TV")
    lowest = [min(row[1] - row[2] for row in rows), max(row[1] - row[2] for row in rows)]
    near = {row[0]: row for row in rows}
    slopes = [(near[0.03][place] - near[-0.03][place]) / 0.06 for place in (1, 2)]
    return Trial(
        "surrogate",
        CLAIM,
        FINDING,
        (
            Table(
                "along a line of logits, γ = 0.9", names, tuple(rows), Picture("step", ("L", "J", names[5]))
            ),
        ),
        (
            Statement("performance difference identity", identity < ROUNDING),
            Statement("surrogate <= return everywhere", lowest[1] <= 0.0, expected=False),
            Statement("same slope at π", abs(slopes[0] - slopes[1]) < 1e-3 * abs(slopes[1])),
            *(
                Statement(
                    f"{names[place]} <= J everywhere", all(row[place] <= row[2] + ROUNDING for row in rows)
                )
                for place in (3, 4, 5)
            ),
            Statement(
                "average TV is the tightest of the three",
                all(row[5] >= max(row[3], row[4]) for row in rows if abs(row[0]) >= 1.0),
            ),
            Statement(
                "all are attained at step 0", all(abs(v - base.item()) < ROUNDING for v in near[0.0][1:])
            ),
        ),
    )
