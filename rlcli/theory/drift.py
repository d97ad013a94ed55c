"""How far the state distributions of two policies drift apart with time.

Claim: if π' differs from π by at most ε at every state, ||p'_t - p_t||_1 <= 2 (1 - (1-ε)^t) <= 2 ε t. ε is
the largest total variation: by a maximal coupling the two act alike with probability 1 - ε, so after t steps
they have acted alike throughout with at least (1-ε)^t. Sources: Ross and Bagnell 2010, 'Efficient Reductions
for Imitation Learning'; Schulman et al. 2015, 'Trust Region Policy Optimization', appendix A.

Lecture slides on trust regions bound by it what the surrogate loses at time t: γ^t |E_{p'_t}[g] - E_{p_t}[g]|
<= γ^t 2 ε t max|g|, g(s) = E_{a ~ π'}[A(s, a)], and write O(2 ε t r_max/(1-γ)). Since |Q| <= r_max/(1-γ),
max|g| <= 2 ε r_max/(1-γ): with the constant 2 r_max/(1-γ) the line holds for any two policies, with
r_max/(1-γ) for ε <= 1/2.
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
    "probability is exactly ε. So the surrogate loses at most 2 ε t r_max/(1-γ) at time t if ε <= 1/2, and "
    "at most twice that for any policies. For small ε it loses far less: its error falls as ε²."
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


def at_distance(policy: Tensor, other: Tensor, epsilon: float) -> Tensor:
    """The policy between π and another one with max_s TV(π, π') = ε, [S, A]."""
    share = epsilon / total_variation(policy, other).max()
    return moved_policy(policy, other, share.expand(len(policy)))


def fork(gamma: float = 0.9) -> Process:
    """State 0 leads to 1 or 2, and these to 3 or 4, of rewards 1 and -1 forever.

    Action 0 leads over 2 to 3. It would lead from 1 to 4: there action 1 is as much better as can be, and at
    2 as much worse.
    """
    moves = torch.zeros(5, 2, 5, dtype=torch.float64)
    for state, ends in enumerate(((2, 1), (4, 3), (3, 4), (3, 3), (4, 4))):
        moves[state, 0, ends[0]] = moves[state, 1, ends[1]] = 1.0
    rewards = torch.tensor([[0, 0], [-1, 1], [1, -1], [1, 1], [-1, -1]], dtype=torch.float64)
    return Process(moves, rewards, torch.eye(5, dtype=torch.float64)[0], gamma)


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


def surrogate_error(process: Process, policy: Tensor, moved: Tensor) -> tuple[float, float, float]:
    """|J(π') - L(π')|; Σ_t γ^t 2 ε t C with C = max_s |E_π'[A(s, a)]|, and with r_max/(1-γ) in place of C.

    L(π') = J(π) + E_{s ~ d^π, a ~ π'}[A]/(1-γ). Σ_t γ^t t = γ/(1-γ)².
    """
    gamma, gain = process.gamma, (moved * advantages(process, policy)).sum(-1)
    surrogate = expected_return(process, policy) + discounted_occupancy(process, policy) @ gain / (1 - gamma)
    epsilon = total_variation(policy, moved).max()
    scale = 2.0 * epsilon * gamma / (1.0 - gamma) ** 2
    bounds = scale * gain.abs().max(), scale * largest_value(process)
    return (expected_return(process, moved) - surrogate).abs().item(), bounds[0].item(), bounds[1].item()


def largest_value(process: Process) -> Tensor:
    """r_max/(1-γ), []."""
    return process.rewards.abs().max() / (1.0 - process.gamma)


def losses(process: Process, policy: Tensor, moved: Tensor) -> tuple[Tensor, Tensor]:
    """What the surrogate loses at `TIMES`, γ^t |E_{p'_t}[g] - E_{p_t}[g]|, and γ^t 2 ε t r_max/(1-γ), [T]."""
    gain, times = (moved * advantages(process, policy)).sum(-1), torch.tensor(TIMES, dtype=torch.float64)
    apart = occupancies(process, moved, TIMES[-1] + 1) - occupancies(process, policy, TIMES[-1] + 1)
    epsilon, discount = total_variation(policy, moved).max(), process.gamma**times
    line = discount * 2.0 * epsilon * times * largest_value(process)
    return discount * (apart @ gain)[list(TIMES)].abs(), line


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
        "stochastic": (process, stochastic, at_distance(stochastic, other, EPSILON)),
        "deterministic": (process, deterministic, at_distance(deterministic, other, EPSILON)),
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
    lost, lines = _losses(process, stochastic, at_distance(stochastic, other, EPSILON))
    errors, last = _errors(process, stochastic, other)
    return Trial(
        "drift",
        CLAIM,
        FINDING,
        (drift, mixture, lost, errors),
        (*statements, *more, *lines, *last),
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


def _losses(process: Process, policy: Tensor, moved: Tensor) -> tuple[Table, tuple[Statement, ...]]:
    """What the surrogate loses at each time: of a random process, and of the fork at ε = 1."""
    lost, line = losses(process, policy, moved)
    always = torch.eye(2, dtype=torch.float64)
    fork_lost, fork_line = losses(fork(), always[0].expand(5, 2), always[1].expand(5, 2))
    table = Table(
        "loss of the surrogate at time t: γ^t |E_{p'_t}[g] - E_{p_t}[g]|, g = E_π'[A], γ = 0.9",
        ("t", f"loss, ε = {EPSILON:g}", "γ^t 2εt r_max/(1-γ)", "loss on the fork, ε = 1", "its line"),
        tuple(
            (float(t), *(figure.item() for figure in figures))
            for t, *figures in zip(TIMES, lost, line, fork_lost, fork_line, strict=True)
        ),
    )
    return table, (
        Statement(
            f"ε = {EPSILON:g}: the surrogate loses at most γ^t 2εt r_max/(1-γ) at every t",
            bool((lost <= line + ROUNDING).all()),
        ),
        Statement(
            "ε = 1: the same on the fork", bool((fork_lost <= fork_line + ROUNDING).all()), expected=False
        ),
        Statement(
            "it loses at most twice as much there, and as much at t = 1",
            bool((fork_lost <= 2.0 * fork_line + ROUNDING).all())
            and abs(fork_lost[1].item() - 2.0 * fork_line[1].item()) < ROUNDING,
        ),
    )


def _errors(process: Process, policy: Tensor, other: Tensor) -> tuple[Table, tuple[Statement, ...]]:
    rows = [
        (epsilon, *surrogate_error(process, policy, at_distance(policy, other, epsilon)))
        for epsilon in (0.01, 0.03, 0.1, 0.3, 0.5)
    ]
    names = ("|J - L|", "Σ γ^t 2εt C", "Σ γ^t 2εt r_max/(1-γ)")
    table = Table(
        "error of the surrogate, γ = 0.9",
        ("ε", *names),
        tuple(rows),
        Picture("ε", names, log_x=True, log_y=True),
    )
    ratio = rows[1][1] / rows[0][1]
    return table, (
        Statement(f"the error of the surrogate stays below {names[1]}", all(r[1] <= r[2] for r in rows)),
        Statement(f"and below {names[2]}", all(r[1] <= r[3] for r in rows)),
        Statement("for small ε the error falls as ε², not as ε", 8.0 < ratio < 10.0),
    )
