"""What importance weights cost with the horizon, and how ESS and Pareto k-hat see it.

H steps, each the same bandit of two actions: μ takes action 1 with probability 1/2, π with probability p,
and action 1 earns 1. With m = E_μ[ρ²], j = E_μ[ρ r] = p, a = E_μ[ρ² r], b = E_μ[ρ² r²] (= a here), G = Σ_t
r_t:

- trajectory ρ_{0:H} G: E[.²] = H b m^(H-1) + H (H-1) a² m^(H-2);
- per decision Σ_t ρ_{0:t} r_t: E[.²] = Σ_t m^t b + 2 Σ_{t<u} m^t a j;
- per step Σ_t ρ_t r_t: variance H (b - j²). Unbiased here alone, where no state depends on actions.

Self-normalised and truncated weights depend on the number of ones only, which is binomial: exact sums.
"""

from __future__ import annotations

import math

import torch

from rlcli.maths.health import effective_sample_size
from rlcli.maths.pareto import UNRELIABLE, khat
from rlcli.theory.trial import Picture, Statement, Table, Trial

CLAIM = "Importance weights make old data usable."
FINDING = (
    "They do at a price that grows geometrically with the horizon for whole trajectories, and linearly for "
    "single steps. ESS tells the price only while the variance of the weights is finite; k-hat tells whether "
    "it is."
)

HORIZONS = (1, 2, 5, 10, 20, 50, 100)
TARGETS = (0.55, 0.7)
"""p: 1.1 and 0.9, or 1.4 and 0.6, times the probabilities of μ."""
EPISODES = 100
"""n of the truncated weights' cap √n."""
SAMPLES = 100_000
ROUNDING = 1e-9


def moments(p: float) -> tuple[float, float, float]:
    """m = E[ρ²], j = E[ρ r] and a = E[ρ² r] = E[ρ² r²] of one step."""
    return 2.0 * (p**2 + (1.0 - p) ** 2), p, 2.0 * p**2


def trajectory_variance(p: float, horizon: int) -> float:
    """Var[ρ_{0:H} G]."""
    m, j, a = moments(p)
    pairs = horizon * (horizon - 1) * a**2 * m ** (horizon - 2) if horizon > 1 else 0.0
    return horizon * a * m ** (horizon - 1) + pairs - (horizon * j) ** 2


def per_decision_variance(p: float, horizon: int) -> float:
    """Var[Σ_t ρ_{0:t} r_t]."""
    m, j, a = moments(p)
    squares = sum(m**t * a + 2.0 * (horizon - 1 - t) * m**t * a * j for t in range(horizon))
    return squares - (horizon * j) ** 2


def per_step_variance(p: float, horizon: int) -> float:
    """Var[Σ_t ρ_t r_t]."""
    _, j, a = moments(p)
    return horizon * (a - j**2)


def truncated(p: float, horizon: int, cap: float) -> tuple[float, float, float]:
    """Variance of min(ρ_{0:H}, c) G, its bias, and the bound max G E[(ρ_{0:H} - c)+] of the bias."""
    first = second = lost = 0.0
    for ones in range(horizon + 1):
        chance = math.comb(horizon, ones) * 0.5**horizon
        weight = (2.0 * p) ** ones * (2.0 * (1.0 - p)) ** (horizon - ones)
        kept = min(weight, cap)
        first += chance * kept * ones
        second += chance * (kept * ones) ** 2
        lost += chance * (weight - kept)
    return second - first**2, first - horizon * p, horizon * lost


def weighted_spread(p: float, horizon: int) -> float:
    """Variance of n = 100 self-normalised episodes times n, by the delta method: E[ρ² (G - H p)²]."""
    total = 0.0
    for ones in range(horizon + 1):
        chance = math.comb(horizon, ones) * 0.5**horizon
        weight = (2.0 * p) ** ones * (2.0 * (1.0 - p)) ** (horizon - ones)
        total += chance * (weight * (ones - horizon * p)) ** 2
    return total


def trial() -> Trial:
    """Products over a horizon, exact variances, and weights between Gaussians."""
    products = Table(
        "a product over the horizon",
        ("H", "0.8^H", "1.2^H"),
        tuple((float(h), 0.8**h, 1.2**h) for h in HORIZONS),
        Picture("H", ("0.8^H", "1.2^H"), log_y=True),
    )
    tables, statements = [products], []
    names = ("trajectory", "per decision", "per step", "self-normalised", "truncated")
    for p in TARGETS:
        rows = []
        for horizon in HORIZONS:
            variance, bias, bound = truncated(p, horizon, math.sqrt(EPISODES))
            rows.append(
                (
                    float(horizon), trajectory_variance(p, horizon), per_decision_variance(p, horizon),
                    per_step_variance(p, horizon), weighted_spread(p, horizon), variance, bias, bound,
                )
            )  # fmt: skip
        columns = ("H", *names, "bias truncated", "its bound")
        title = f"variance of one episode's estimate, π(1) = {p:g}, c = 10"
        tables.append(Table(title, columns, tuple(rows), Picture("H", names, log_x=True, log_y=True)))
        statements.append(
            Statement(
                f"π(1) = {p:g}: per step <= per decision <= trajectory",
                all(row[3] <= row[2] + ROUNDING and row[2] <= row[1] + ROUNDING for row in rows),
            )
        )
        statements.append(
            Statement(
                f"π(1) = {p:g}: the bias of truncation is within its bound",
                all(abs(row[6]) <= row[7] + ROUNDING for row in rows),
            )
        )
    growth = trajectory_variance(TARGETS[1], 100) / trajectory_variance(TARGETS[1], 50)
    statements += [
        Statement(
            "0.8^100 is 2e-10, 1.2^100 is 8e7", abs(0.8**100 / 2.037e-10 - 1) < 1e-3 and 8e7 < 1.2**100 < 9e7
        ),
        Statement("the trajectory's variance grows geometrically with H", growth > moments(0.7)[0] ** 50 / 2),
    ]
    gaussians, more = _gaussians()
    losses, last = _truncation()
    return Trial(
        "variance",
        CLAIM,
        FINDING,
        (*tables, gaussians, losses),
        (*statements, *more, *last),
    )


def _gaussians() -> tuple[Table, tuple[Statement, ...]]:
    """μ = N(0, 1); π = N(d, 1) has ESS exp(-d²), π = N(0, s) has s √(2 - s²), 0 for s² >= 2."""
    draw = torch.Generator().manual_seed(0)
    z = torch.randn(SAMPLES, dtype=torch.float64, generator=draw)
    rows: list[tuple[str, float, float, float]] = []
    for d in (0.1, 0.5, 1.0, 2.0):
        log = d * z - d * d / 2
        rows.append((f"N({d:g}, 1)", math.exp(-d * d), effective_sample_size(log).item(), khat(log).item()))
    for s in (1.2, 1.4, 1.6, 3.0):
        exact = s * math.sqrt(2 - s * s) if s * s < 2 else 0.0
        log = z * z * (1 - 1 / s**2) / 2 - math.log(s)
        rows.append((f"N(0, {s:g})", exact, effective_sample_size(log).item(), khat(log).item()))
    close = all(abs(row[2] - row[1]) < 0.02 for row in rows[:2])
    table = Table(
        f"weights of π against μ = N(0, 1), {SAMPLES:,} samples",
        ("π", "ESS exact", "ESS", "k-hat"),
        tuple(rows),
    )
    infinite = [row for row in rows if row[1] == 0.0]
    return table, (
        Statement("sampled ESS agrees with exp(-d²) for d <= 0.5", close),
        Statement(
            "where E[ρ²] is infinite, sampled ESS says so", all(r[2] < 0.01 for r in infinite), expected=False
        ),
        Statement("there k-hat is above 0.5", all(row[3] > 0.5 for row in infinite)),
        Statement("of N(0, 3), where k = 8/9, it is above 0.7", infinite[-1][3] > UNRELIABLE),
    )


def _truncation() -> tuple[Table, tuple[Statement, ...]]:
    """Bias of min(w, c) for log-normal weights: E[(w-c)+] = Φ(σ - k) - c Φ(-k), k = log(c)/σ + σ/2."""
    rows = []
    for cap in (1.0, 2.0, 5.0, 10.0, 30.0):
        for sigma in (0.5, 1.0, 2.0):
            lost = lognormal_excess(sigma, cap)
            rows.append((cap, sigma, lost, math.exp(sigma**2) / (4 * cap)))
    table = Table(
        "mass lost by a cap, log w ~ N(-σ²/2, σ)", ("c", "σ", "E[(w-c)+]", "E[w²]/(4c)"), tuple(rows)
    )
    return table, (Statement("E[(w-c)+] <= E[w²]/(4c)", all(row[2] <= row[3] for row in rows)),)


def lognormal_excess(sigma: float, cap: float) -> float:
    """E[(w-c)+] of log w ~ N(-σ²/2, σ)."""
    k = math.log(cap) / sigma + sigma / 2

    def phi(x: float) -> float:
        return 0.5 * math.erfc(-x / math.sqrt(2))

    return phi(sigma - k) - cap * phi(-k)
