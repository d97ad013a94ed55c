"""The surrogate, the true return, and lower bounds of it, along a line in parameter space.

J(π') - J(π) = E_{s ~ d', a ~ π'}[A^π]/(1-γ), exactly (Kakade and Langford 2002, lemma 6.1). The surrogate
L(π') = J(π) + E_{s ~ d^π, a ~ π'}[A^π]/(1-γ) keeps the old states. Lower bounds of J(π'):

- Schulman et al. 2015, theorem 1: L - 4 A_max γ/(1-γ)² KL_max, A_max = max_{s,a} |A^π|; with Pinsker's TV²
  <= KL/2 instead of TV² <= KL the factor is 2;
- Achiam et al. 2017, corollary 1: L - 2γ/(1-γ)² ε E_{s ~ d^π}[TV(s)], ε = max_s |E_{a ~ π'}[A^π(s, a)]|.

The last is never below the others: E[TV] <= TV_max, ε <= 2 A_max TV_max, and 2 TV_max² <= KL_max.
"""

from __future__ import annotations

import itertools

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
    "return's value and slope at π; less a penalty it is a lower bound. All three are tight at π, to first "
    "order, and everywhere if γ = 0; the one with the average TV is always the tightest."
)

STEPS = (-2.0, -1.0, -0.3, -0.1, -0.03, 0.0, 0.03, 0.1, 0.3, 1.0, 2.0)
NEAR = (0.1, 0.03, 0.01, 0.003, 0.001)
"""Steps at which the gaps below the return shrink with their square."""
BOUNDS = ("L - 4 A γ KL/(1-γ)²", "L - 2 A γ KL/(1-γ)²", "L - average TV")
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


def bounds(process: Process, policy: Tensor, moved: Tensor) -> list[float]:
    """The three lower bounds of J(π')."""
    found = (
        kl_bound(process, policy, moved, 4.0),
        kl_bound(process, policy, moved, 2.0),
        average_bound(process, policy, moved),
    )
    return [bound.item() for bound in found]


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
        own = surrogate(process, policy, moved).item()
        rows.append((step, own, true.item(), *bounds(process, policy, moved)))
    names = ("step", "L", "J", *BOUNDS)
    gaps, more = _gaps(process, logits, direction)
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
            gaps,
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
                "average TV is the tightest of the three at every step",
                all(row[5] > max(row[3], row[4]) for row in rows if row[0] != 0.0),
            ),
            Statement(
                "all are attained at step 0", all(abs(v - base.item()) < ROUNDING for v in near[0.0][1:])
            ),
            *more,
        ),
    )


def _gaps(process: Process, logits: Tensor, direction: Tensor) -> tuple[Table, tuple[Statement, ...]]:
    """J less each bound, at ever smaller steps, and without a future."""
    policy, rows, shrink = logits.softmax(-1), [], []
    for step in NEAR:
        moved = (logits + step * direction).softmax(-1)
        true = expected_return(process, moved).item()
        rows.append((step, *(true - bound for bound in bounds(process, policy, moved))))
    for first, second in itertools.pairwise(rows):
        square = (first[0] / second[0]) ** 2
        shrink += [a / b / square for a, b in zip(first[1:], second[1:], strict=True)]
    myopic, moved = process._replace(gamma=0.0), (logits + direction).softmax(-1)
    true = expected_return(myopic, moved).item()
    table = Table(
        "gap J - bound near π",
        ("step", *BOUNDS),
        tuple(rows),
        Picture("step", BOUNDS, log_x=True, log_y=True),
    )
    return table, (
        Statement(
            "all are tight to first order: the gap falls with the square of the step",
            all(abs(one - 1.0) < 0.1 for one in shrink),
        ),
        Statement(
            "γ = 0: all are the return, for steps of any size",
            all(abs(bound - true) < ROUNDING for bound in bounds(myopic, policy, moved)),
        ),
    )
