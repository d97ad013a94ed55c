"""How far the state distributions of two policies drift apart with time.

Claim: if π' differs from π by at most ε at every state, ||p'_t - p_t||_1 <= 2 (1 - (1-ε)^t) <= 2 ε t. ε is
the largest total variation: by a maximal coupling the two act alike with probability 1 - ε, so after t steps
they have acted alike throughout with at least (1-ε)^t. Sources: Ross and Bagnell 2010, 'Efficient Reductions
for Imitation Learning'; Schulman et al. 2015, 'Trust Region Policy Optimization', appendix A.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rlcli.theory.process import (
    Process,
    advantages,
    discounted_occupancy,
    expected_return,
    occupancies,
    random_logits,
    random_process,
    total_variation,
)
from rlcli.theory.trial import Picture, Statement, Table, Trial

CLAIM = (
    "A policy that makes a mistake with probability ε drifts from the data's state distribution by at most 2 "
    "ε t in L1."
)
FINDING = (
    "It does, for any two policies, if ε is the largest total variation over states; 2 (1 - (1-ε)^t) is "
    "tighter, and attained. The mixture with a mistake distribution is exact only if every state's mistake "
    "probability is exactly ε."
)

EPSILON = 0.1
TIMES = (0, 1, 2, 3, 5, 10, 20, 50)
ROUNDING = 1e-12


def mistake_chain(gamma: float = 0.9) -> Process:
    """Two states, of which the second is absorbing and entered by action 1, the mistake."""
    moves = torch.zeros(2, 2, 2, dtype=torch.float64)
    moves[0, 0, 0] = moves[0, 1, 1] = moves[1, :, 1] = 1.0
    rewards = torch.tensor([[1.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    return Process(moves, rewards, torch.tensor([1.0, 0.0], dtype=torch.float64), gamma)


def moved_policy(policy: Tensor, other: Tensor, mistakes: Tensor) -> Tensor:
    """(1-ε_s) π + ε_s π_other: with probability `mistakes` [S] the action is another policy's."""
    return (1.0 - mistakes)[:, None] * policy + mistakes[:, None] * other


def distances(process: Process, policy: Tensor, moved: Tensor) -> tuple[float, Tensor]:
    """ε = max_s TV(π, π'), and ||p'_t - p_t||_1 at `TIMES`."""
    apart = occupancies(process, moved, TIMES[-1] + 1) - occupancies(process, policy, TIMES[-1] + 1)
    return total_variation(policy, moved).max().item(), apart.abs().sum(-1)[list(TIMES)]


def unmistaken(process: Process, policy: Tensor, mistakes: Tensor, times: int) -> tuple[Tensor, Tensor]:
    """P(no mistake before t) and p(s_t | no mistake before t), [T] and [T, S]."""
    step = torch.einsum("s,sa,sat->st", 1.0 - mistakes, policy, process.moves)
    found = [process.start]
    for _ in range(times - 1):
        found.append(found[-1] @ step)
    joint = torch.stack(found)
    chance = joint.sum(-1)
    return chance, joint / chance[:, None]


def surrogate_error(process: Process, policy: Tensor, moved: Tensor) -> tuple[float, float]:
    """|J(π') - L(π')| and the slides' bound Σ_t γ^t 2 ε t C, C = max_s |E_π'[A(s, a)]|.

    L(π') = J(π) + E_{s ~ d^π, a ~ π'}[A]/(1-γ). Σ_t γ^t t = γ/(1-γ)².
    """
    gamma, gain = process.gamma, (moved * advantages(process, policy)).sum(-1)
    surrogate = expected_return(process, policy) + discounted_occupancy(process, policy) @ gain / (1 - gamma)
    epsilon = total_variation(policy, moved).max()
    bound = 2.0 * epsilon * gain.abs().max() * gamma / (1.0 - gamma) ** 2
    return (expected_return(process, moved) - surrogate).abs().item(), bound.item()


def trial() -> Trial:
    """Exact distances on the absorbing chain and on random processes, against both bounds."""
    chain = mistake_chain()
    right = torch.tensor([[1.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    wrong = torch.tensor([[1.0 - EPSILON, EPSILON], [1.0, 0.0]], dtype=torch.float64)
    process = random_process(6, 3, 0.9, seed=1)
    stochastic = random_logits(6, 3, seed=2).softmax(-1)
    deterministic = torch.eye(3, dtype=torch.float64)[stochastic.argmax(-1)]
    other = random_logits(6, 3, seed=3).softmax(-1)
    even = torch.full((6,), EPSILON, dtype=torch.float64)
    uneven = EPSILON * torch.linspace(0.0, 1.0, 6, dtype=torch.float64)
    pairs = {
        "absorbing mistake": (chain, right, wrong),
        "stochastic": (process, stochastic, moved_policy(stochastic, other, even)),
        "deterministic": (process, deterministic, moved_policy(deterministic, other, even)),
    }
    columns, statements = {}, []
    for name, (where, policy, moved) in pairs.items():
        epsilon, apart = distances(where, policy, moved)
        columns[name] = apart
        bound = 2.0 * (1.0 - (1.0 - epsilon) ** torch.tensor(TIMES, dtype=torch.float64))
        holds = bool((apart <= bound + ROUNDING).all())
        statements.append(Statement(f"{name}: within 2 (1 - (1-ε)^t) at every t", holds))
    times = torch.tensor(TIMES, dtype=torch.float64)
    exact = 2.0 * (1.0 - (1.0 - EPSILON) ** times)
    attained = bool((columns["absorbing mistake"] - exact).abs().max() < ROUNDING)
    statements.append(Statement("the chain where a mistake is absorbing attains the bound", attained))
    drift = Table(
        f"||p'_t - p_t||_1, ε = {EPSILON:g}",
        ("t", *columns, "2(1-(1-ε)^t)", "2εt"),
        tuple(
            (float(t), *(apart[row].item() for apart in columns.values()), exact[row].item(), 2 * EPSILON * t)
            for row, t in enumerate(TIMES)
        ),
        Picture("t", (*columns, "2(1-(1-ε)^t)")),
    )
    mixture, more = _mixture(process, stochastic, {"exactly ε": even, "at most ε": uneven})
    errors, last = _errors(process, stochastic, other)
    return Trial(
        "drift",
        CLAIM,
        FINDING,
        (drift, mixture, errors),
        (*statements, *more, *last),
    )


def _mixture(
    process: Process, policy: Tensor, cases: dict[str, Tensor]
) -> tuple[Table, tuple[Statement, ...]]:
    """p'_t = (1-ε)^t p_t + (1 - (1-ε)^t) p_mistake: does p_t describe the paths without a mistake?"""
    plain, rows, deviations = occupancies(process, policy, TIMES[-1] + 1), [], {}
    for name, mistakes in cases.items():
        chance, given = unmistaken(process, policy, mistakes, TIMES[-1] + 1)
        apart = (given - plain).abs().sum(-1)
        lost = (chance - (1.0 - EPSILON) ** torch.arange(len(chance), dtype=torch.float64)).abs()
        deviations[name] = max(apart.max().item(), lost.max().item())
        rows += [(name, float(t), chance[t].item(), apart[t].item()) for t in TIMES]
    table = Table(
        "paths without a mistake",
        ("mistakes", "t", "P(none before t)", "||p(s_t|none) - p_t||_1"),
        tuple(rows),
    )
    return table, (
        Statement("mistakes of exactly ε: the mixture is exact", deviations["exactly ε"] < ROUNDING),
        Statement(
            "mistakes of at most ε: the mixture is exact", deviations["at most ε"] < ROUNDING, expected=False
        ),
    )


def _errors(process: Process, policy: Tensor, other: Tensor) -> tuple[Table, tuple[Statement, ...]]:
    rows = []
    for epsilon in (0.01, 0.03, 0.1, 0.3, 1.0):
        mistakes = torch.full((len(policy),), epsilon, dtype=torch.float64)
        rows.append((epsilon, *surrogate_error(process, policy, moved_policy(policy, other, mistakes))))
    table = Table(
        "error of the surrogate, γ = 0.9",
        ("ε", "|J - L|", "Σ γ^t 2εt C"),
        tuple(rows),
        Picture("ε", ("|J - L|", "Σ γ^t 2εt C"), log_x=True, log_y=True),
    )
    ratio = rows[1][1] / rows[0][1]
    return table, (
        Statement("the error of the surrogate stays below the sum", all(row[1] <= row[2] for row in rows)),
        Statement("for small ε the error falls as ε², not as ε", 8.0 < ratio < 10.0),
    )
