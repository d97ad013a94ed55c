"""What importance weights cost with the horizon and the policies' distance; how ESS and k-hat see it.

H steps, each the same bandit of two actions: μ takes action 1 with probability 1/2, π with probability p,
and action 1 earns 1. With m = E_μ[ρ²], j = E_μ[ρ r] = p, a = E_μ[ρ² r], b = E_μ[ρ² r²] (= a here), G = Σ_t
r_t:

- trajectory ρ_{0:H} G: E[.²] = H b m^(H-1) + H (H-1) a² m^(H-2);
- per decision Σ_t ρ_{0:t} r_t: E[.²] = Σ_t m^t b + 2 Σ_{t<u} m^t a j;
- per step Σ_t ρ_t r_t: variance H (b - j²). Unbiased here alone, where no state depends on actions.

Self-normalised and truncated weights depend on the number of ones only, which is binomial: exact sums. With
w = ρ_{0:H}, E[w²] = m^H and m = 1 + 4 TV², TV = |p - 1/2|. A cap c costs a bias of at most H E[(w-c)+] <= H
E[w²]/(4c) (Ionides 2008, 'Truncated Importance Sampling').

Between Gaussians, μ = N(0, 1): π = N(d, 1) has ESS exp(-d²), and weights with a log-normal tail, k = 0. π =
N(0, s) has ESS s √(2 - s²), and w = exp(x² (1 - 1/s²)/2)/s: P(w > t) is that of x² > 2 log(s t)/(1 - 1/s²),
so it falls as t^(-1/k) with k = 1 - 1/s². E[w²] is infinite from k = 1/2 on, s² = 2.
"""

from __future__ import annotations

import itertools
import math

import torch

from rlcli.maths.health import effective_sample_size
from rlcli.maths.pareto import UNRELIABLE, khat
from rlcli.theory.trial import Picture, Statement, Table, Trial

CLAIM = "Importance weights make old data usable."
FINDING = (
    "They do at a price that grows geometrically with the horizon for whole trajectories, the faster the "
    "farther the policies are apart, and linearly for single steps. ESS tells the price only while the "
    "variance of the weights is finite; k-hat tells whether it is: it finds the k = 1 - 1/s² of N(0, s)."
)

HORIZONS = (1, 2, 5, 10, 20, 50, 100)
TARGETS = (0.55, 0.7)
"""p: 1.1 and 0.9, or 1.4 and 0.6, times the probabilities of μ."""
DISTANCES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4)
"""Total variation of π and μ, p - 1/2, over a horizon of `MIDDLE`."""
MIDDLE = 20
ESTIMATORS = ("trajectory", "per decision", "per step", "self-normalised", "truncated")
BIAS = ("bias truncated", "H E[(w-c)+]", "H E[w²]/(4c)")
SHIFTS = (0.1, 0.5, 1.0, 2.0)
STDS = (1.1, 1.2, 1.3, 1.4, 1.6, 2.0, 3.0)
"""d of N(d, 1), and s of N(0, s)."""
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
    """Variance of min(w, c) G, w = ρ_{0:H}, its bias, and the bound H E[(w-c)+] of the bias."""
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


def figures(p: float, horizon: int) -> tuple[float, ...]:
    """Variances of `ESTIMATORS`, and the figures of `BIAS`."""
    cap = math.sqrt(EPISODES)
    variance, bias, bound = truncated(p, horizon, cap)
    return (
        trajectory_variance(p, horizon),
        per_decision_variance(p, horizon),
        per_step_variance(p, horizon),
        weighted_spread(p, horizon),
        variance,
        bias,
        bound,
        horizon * moments(p)[0] ** horizon / (4.0 * cap),
    )


def ess_of_std(std: float) -> float:
    """s √(2 - s²) of π = N(0, s); 0 where E[w²] is infinite."""
    return std * math.sqrt(max(2.0 - std**2, 0.0))


def shape_of_std(std: float) -> float:
    """k = 1 - 1/s² of π = N(0, s), s > 1."""
    return 1.0 - 1.0 / std**2


def trial() -> Trial:
    """Products over a horizon, exact variances, and weights between Gaussians."""
    products = Table(
        "a product over the horizon",
        ("H", "0.8^H", "1.2^H"),
        tuple((float(h), 0.8**h, 1.2**h) for h in HORIZONS),
        Picture("H", ("0.8^H", "1.2^H"), log_y=True),
    )
    statements = [
        Statement(
            "0.8^100 is 2e-10, 1.2^100 is 8e7", abs(0.8**100 / 2.037e-10 - 1) < 1e-3 and 8e7 < 1.2**100 < 9e7
        )
    ]
    tables = [products]
    for p in TARGETS:
        rows = tuple((float(horizon), *figures(p, horizon)) for horizon in HORIZONS)
        table, more = _estimators(f"π(1) = {p:g}", "H", rows, log_x=True)
        tables.append(table)
        statements += more
    growth = trajectory_variance(TARGETS[1], 100) / trajectory_variance(TARGETS[1], 50)
    statements.append(
        Statement(
            "the trajectory's variance grows geometrically with H, as H² (1 + 4 TV²)^H",
            abs(growth / (4.0 * 1.16**50) - 1.0) < 0.01,
        )
    )
    rows = tuple((distance, *figures(0.5 + distance, MIDDLE)) for distance in DISTANCES)
    by_distance, more = _estimators(f"H = {MIDDLE}", "TV of π and μ", rows)
    gaussians, last = _gaussians()
    losses, bounds = _truncation()
    return Trial(
        "variance",
        CLAIM,
        FINDING,
        (*tables, by_distance, *gaussians, losses),
        (*statements, *more, *_by_distance(rows), *last, *bounds),
    )


def _estimators(
    where: str, x: str, rows: tuple[tuple[float, ...], ...], *, log_x: bool = False
) -> tuple[Table, list[Statement]]:
    """Figures of all estimators along a column x."""
    table = Table(
        f"variance of one episode's estimate, {where}, c = {math.sqrt(EPISODES):g}",
        (x, *ESTIMATORS, *BIAS),
        rows,
        Picture(x, ESTIMATORS, log_x=log_x, log_y=True),
    )
    return table, [
        Statement(
            f"{where}: per step <= per decision <= trajectory",
            all(row[3] <= row[2] + ROUNDING and row[2] <= row[1] + ROUNDING for row in rows),
        ),
        Statement(
            f"{where}: the bias of truncation <= H E[(w-c)+] <= H E[w²]/(4c)",
            all(abs(row[6]) <= row[7] + ROUNDING and row[7] <= row[8] for row in rows),
        ),
    ]


def _by_distance(rows: tuple[tuple[float, ...], ...]) -> tuple[Statement, ...]:
    return (
        Statement(
            "π = μ: all five are the variance of the return, H/4",
            all(abs(figure - MIDDLE / 4) < ROUNDING for figure in rows[0][1:6]),
        ),
        Statement(
            "the farther π is from μ, the more trajectory, per decision and per step vary",
            all(b[place] > a[place] for a, b in itertools.pairwise(rows) for place in (1, 2, 3)),
        ),
    )


def _gaussians() -> tuple[tuple[Table, ...], tuple[Statement, ...]]:
    """Sampled ESS and k-hat of weights of N(d, 1) and of N(0, s) against μ = N(0, 1), and exact ones."""
    draw = torch.Generator().manual_seed(0)
    z = torch.randn(SAMPLES, dtype=torch.float64, generator=draw)
    shifted, wider = [], []
    for d in SHIFTS:
        log = d * z - d * d / 2
        shifted.append((d, math.exp(-d * d), effective_sample_size(log).item(), 0.0, khat(log).item()))
    for s in STDS:
        log = z * z * (1 - 1 / s**2) / 2 - math.log(s)
        wider.append((s, ess_of_std(s), effective_sample_size(log).item(), shape_of_std(s), khat(log).item()))
    names = ("ESS exact", "ESS", "k exact", "k-hat")
    of = f"μ = N(0, 1), {SAMPLES:,} samples"
    infinite = [row for row in wider if row[0] ** 2 >= 2.0]
    return (
        Table(f"weights of π = N(d, 1) against {of}", ("d", *names), tuple(shifted)),
        Table(f"weights of π = N(0, s) against {of}", ("s", *names), tuple(wider), Picture("s", names)),
    ), (
        Statement(
            "sampled ESS agrees with exp(-d²) for d <= 0.5",
            all(abs(row[2] - row[1]) < 0.02 for row in shifted if row[0] <= 0.5),
        ),
        Statement(
            "k-hat agrees with 1 - 1/s² for every s", all(abs(row[4] - row[3]) < 0.05 for row in wider)
        ),
        Statement(
            "k-hat agrees with the 0 of N(d, 1) for d <= 0.5",
            all(abs(row[4]) < 0.1 for row in shifted if row[0] <= 0.5),
        ),
        Statement(
            "it does for d = 2, whose tail is log-normal far out only",
            abs(shifted[-1][4]) < 0.1,
            expected=False,
        ),
        Statement(
            "E[ρ²] is infinite where s² >= 2, which is k >= 1/2",
            all((row[1] == 0.0) is (row[0] ** 2 >= 2.0) is (row[3] >= 0.5) for row in wider),
        ),
        Statement(
            "where E[ρ²] is infinite, sampled ESS says so", all(r[2] < 0.01 for r in infinite), expected=False
        ),
        Statement("there k-hat is above 0.5", all(row[4] > 0.5 for row in infinite)),
        Statement("of N(0, 3), where k = 8/9, it is above 0.7", infinite[-1][4] > UNRELIABLE),
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
