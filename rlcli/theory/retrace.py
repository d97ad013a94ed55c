"""Off-policy returns as operators on a small process: their fixed points, and how fast they reach them.

R Q = Q + (I - γ P^{cμ})⁻¹ (T^π Q - Q), P^{cμ}((s, a), (s', a')) = P(s'|s, a) c(s', a') μ(a'|s'). Traces c:

- importance sampling: π/μ; Q(λ) without correction: λ; tree backup: λ π(a|s); Retrace: λ min(1, π/μ).

Every R has Q^π as a fixed point, for T^π Q^π = Q^π. It contracts in the largest norm if 0 <= c <= π/μ
(Munos, Stepleton, Harutyunyan and Bellemare 2016, 'Safe and Efficient Off-Policy Reinforcement Learning',
theorem 1). At λ = 0 all but the first are T^π.

V-trace is an operator on V: R V = V + (I - γ P_c)⁻¹ E_μ[ρ (r + γ V(s') - V(s))], P_c(s, s') = Σ_a μ c P(s'|s,
a), ρ = min(ρ-bar, π/μ), c = min(c-bar, π/μ). With a cap ρ-bar < max π/μ its fixed point is the value of
another policy, proportional to min(ρ-bar μ, π); it contracts by at least 1 - (1-γ) min_s E_μ[ρ] (Espeholt et
al. 2018, theorem 1).
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from rlcli.theory.process import Process, action_values, random_logits, random_process, state_values
from rlcli.theory.trial import Picture, Statement, Table, Trial

CLAIM = "Off-policy returns with capped or cut traces evaluate the target policy."
FINDING = (
    "Retrace and tree backup do: Q^π is their fixed point, and they contract for any μ. V-trace's cap ρ-bar "
    "moves the fixed point to the value of another policy, between μ and π; its c-bar moves only the speed."
)

ROUNDING = 1e-10


def traces(name: str, policy: Tensor, behaviour: Tensor, decay: float) -> Tensor:
    """c(s, a) of an operator, [S, A]."""
    ratio = policy / behaviour
    return {
        "importance sampling": ratio,
        "uncorrected": torch.full_like(ratio, decay),
        "tree backup": decay * policy,
        "retrace": decay * ratio.clamp(max=1.0),
    }[name]


NAMES = ("importance sampling", "uncorrected", "tree backup", "retrace")


def operator(process: Process, policy: Tensor, behaviour: Tensor, trace: Tensor) -> tuple[Tensor, Tensor]:
    """R Q = M Q + b over pairs of state and action: M [SA, SA] and b [SA]."""
    pairs = policy.numel()
    eye = torch.eye(pairs, dtype=torch.float64)

    def step(weights: Tensor) -> Tensor:
        return torch.einsum("sat,tb->satb", process.moves, weights).reshape(pairs, pairs)

    kept = torch.linalg.inv(eye - process.gamma * step(trace * behaviour))
    linear = eye - kept @ (eye - process.gamma * step(policy))
    return linear, kept @ process.rewards.reshape(-1)


def vtrace_fixed_point(process: Process, policy: Tensor, behaviour: Tensor, cap: float) -> Tensor:
    """The value of the policy proportional to min(ρ-bar μ, π), [S]."""
    capped = torch.minimum(cap * behaviour, policy)
    return state_values(process, capped / capped.sum(-1, keepdim=True))


def vtrace_iterated(process: Process, policy: Tensor, behaviour: Tensor, cap: float) -> Tensor:
    """V after many steps V <- V + ½ E_μ[ρ (r + γ V(s') - V(s))], ρ = min(ρ-bar, π/μ), [S]."""
    weights = behaviour * (policy / behaviour).clamp(max=cap)
    value = torch.zeros(len(policy), dtype=torch.float64)
    for _ in range(2_000):
        error = process.rewards + process.gamma * process.moves @ value - value[:, None]
        value = value + 0.5 * (weights * error).sum(-1)
    return value


def vtrace_operator(
    process: Process, policy: Tensor, behaviour: Tensor, caps: tuple[float, float]
) -> tuple[Tensor, Tensor]:
    """R V = M V + b of V-trace with caps ρ-bar and c-bar: M [S, S] and b [S]."""
    rho, trace = (behaviour * (policy / behaviour).clamp(max=cap) for cap in caps)
    eye = torch.eye(len(policy), dtype=torch.float64)
    kept = torch.linalg.inv(eye - process.gamma * torch.einsum("sa,sat->st", trace, process.moves))
    moved = process.gamma * torch.einsum("sa,sat->st", rho, process.moves)
    return eye + kept @ (moved - rho.sum(-1).diag()), kept @ (rho * process.rewards).sum(-1)


def norm(linear: Tensor) -> float:
    """The largest norm of a linear part: by how much an application shrinks any error."""
    return linear.abs().sum(-1).max().item()


def contraction(process: Process, policy: Tensor, behaviour: Tensor, name: str, decay: float = 1.0) -> float:
    """The contraction factor of an operator on Q."""
    return norm(operator(process, policy, behaviour, traces(name, policy, behaviour, decay))[0])


def _pair(scale: float) -> tuple[Tensor, Tensor]:
    """π and μ, the farther apart the larger the scale of their logits."""
    policy, behaviour = ((random_logits(5, 3, seed) * scale).softmax(-1) for seed in (6, 7))
    return policy, behaviour


def _decays(process: Process) -> tuple[Table, tuple[Statement, ...]]:
    """Contraction factors against λ; importance sampling has none."""
    names = NAMES[1:]
    rows = [
        (decay, *(contraction(process, *_pair(0.3), name, decay) for name in names))
        for decay in (0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0)
    ]
    safe = (names.index("tree backup") + 1, names.index("retrace") + 1)
    table = Table(
        "contraction in the largest norm, by λ, scale 0.3", ("λ", *names), tuple(rows), Picture("λ", names)
    )
    return table, (
        Statement(
            "λ = 0: all three are T^π, with factor γ",
            all(abs(factor - process.gamma) < ROUNDING for factor in rows[0][1:]),
        ),
        Statement(
            "tree backup and Retrace contract the faster the larger λ",
            all(b[place] < a[place] for a, b in itertools.pairwise(rows) for place in safe),
        ),
        Statement(
            "so does the operator without correction",
            all(b[1] < a[1] for a, b in itertools.pairwise(rows)),
            expected=False,
        ),
    )


def _vtrace(process: Process) -> tuple[Table, tuple[Statement, ...]]:
    """V-trace with several caps: its fixed point, how far that is from V^π, and its contraction factor."""
    policy, behaviour = _pair(1.0)
    exact, infinite = state_values(process, policy), float("inf")
    rows = []
    for rho, trace in ((1.0, 0.5), (1.0, 1.0), (1.5, 0.5), (1.5, 1.0), (infinite, 1.0), (infinite, infinite)):
        linear, offset = vtrace_operator(process, policy, behaviour, (rho, trace))
        fixed = vtrace_fixed_point(process, policy, behaviour, rho)
        kept = (behaviour * (policy / behaviour).clamp(max=rho)).sum(-1).min().item()
        rows.append(
            (
                rho, trace, (linear @ fixed + offset - fixed).abs().max().item(),
                (fixed - exact).abs().max().item(), norm(linear), 1.0 - (1.0 - process.gamma) * kept,
            )
        )  # fmt: skip
    table = Table(
        "V-trace on V, γ = 0.9, scale 1",
        ("ρ-bar", "c-bar", "|R V - V|", "|V - V^π|", "contraction (largest norm)", "1 - (1-γ) min E[ρ]"),
        tuple(rows),
    )
    return table, (
        Statement(
            "V-trace's fixed point is the value of the policy ~ min(ρ-bar μ, π), for any c-bar",
            all(row[2] < ROUNDING for row in rows),
        ),
        Statement(
            "the larger ρ-bar, the nearer it is to V^π, and V^π without a cap",
            rows[0][3] > rows[2][3] > rows[4][3] and rows[4][3] < ROUNDING,
        ),
        Statement(
            "the larger c-bar, the faster V-trace contracts",
            all(rows[place + 1][4] < rows[place][4] for place in (0, 2, 4)),
        ),
        Statement(
            "V-trace contracts by at least 1 - (1-γ) min E[ρ]",
            all(row[4] <= row[5] + ROUNDING for row in rows),
        ),
    )


def _distances(process: Process) -> Table:
    """Contraction factors as the two policies part."""
    rows = []
    for scale in (0.0, 0.1, 0.3, 1.0, 2.0, 4.0):
        policy, behaviour = _pair(scale)
        rows.append((scale, *(contraction(process, policy, behaviour, name) for name in NAMES)))
    return Table(
        "contraction in the largest norm, by scale of logits",
        ("scale", *NAMES),
        tuple(rows),
        Picture("scale", NAMES[1:]),
    )


def trial() -> Trial:
    """Fixed points and contraction factors at two distances between the policies."""
    process = random_process(5, 3, 0.9, seed=5)
    rows, statements = [], []
    for scale in (0.3, 2.0):
        policy, behaviour = _pair(scale)
        exact = action_values(process, policy).reshape(-1)
        for name in NAMES:
            linear, offset = operator(process, policy, behaviour, traces(name, policy, behaviour, 1.0))
            fixed = (linear @ exact + offset - exact).abs().max().item()
            radius = torch.linalg.eigvals(linear).abs().max().item()
            rows.append((scale, name, fixed, norm(linear), radius))
    safe = [row for row in rows if row[1] in ("tree backup", "retrace")]
    factors = {(row[0], row[1]): row[3] for row in rows}
    statements += [
        Statement("Q^π is a fixed point of all four", all(row[2] < ROUNDING for row in rows)),
        Statement(
            "tree backup and Retrace contract by at least γ", all(row[3] <= 0.9 + ROUNDING for row in safe)
        ),
        Statement(
            "importance sampling is at its fixed point at once",
            all(row[3] < ROUNDING for row in rows if row[1] == NAMES[0]),
        ),
        Statement(
            "without correction it contracts however far the policies are apart",
            factors[2.0, "uncorrected"] < 1.0,
            expected=False,
        ),
        Statement(
            "Retrace contracts faster than tree backup",
            all(factors[scale, "retrace"] < factors[scale, "tree backup"] for scale in (0.3, 2.0)),
        ),
    ]
    decays, by_decay = _decays(process)
    vtrace, by_caps = _vtrace(process)
    loop, more = _loop()
    operators = Table(
        "operators on Q, λ = 1, γ = 0.9",
        ("scale of logits", "traces", "|R Q^π - Q^π|", "contraction (largest norm)", "spectral radius"),
        tuple(rows),
    )
    return Trial(
        "retrace",
        CLAIM,
        FINDING,
        (operators, _distances(process), decays, vtrace, loop),
        (*statements, *by_decay, *by_caps, *more),
    )


def _loop() -> tuple[Table, tuple[Statement, ...]]:
    """One state that loops, γ = 0.9, r = (1, 0), π = (0.9, 0.1), μ = (0.5, 0.5)."""
    process = Process(
        torch.ones(1, 2, 1, dtype=torch.float64),
        torch.tensor([[1.0, 0.0]], dtype=torch.float64),
        torch.ones(1, dtype=torch.float64),
        0.9,
    )
    policy = torch.tensor([[0.9, 0.1]], dtype=torch.float64)
    behaviour = torch.tensor([[0.5, 0.5]], dtype=torch.float64)
    rows = []
    for cap in (1.0, 1.5, float("inf")):
        fixed = vtrace_fixed_point(process, policy, behaviour, cap).item()
        rows.append((cap, fixed, vtrace_iterated(process, policy, behaviour, cap).item()))
    known = (25 / 3, 150 / 17, 9.0)
    table = Table("V-trace on one state that loops", ("ρ-bar", "V of its policy", "V iterated"), tuple(rows))
    return table, (
        Statement(
            "V-trace has 8.333, 8.824 and 9",
            all(abs(row[1] - v) < 1e-9 for row, v in zip(rows, known, strict=True)),
        ),
        Statement("iterating reaches them", all(abs(row[1] - row[2]) < 1e-6 for row in rows)),
    )
