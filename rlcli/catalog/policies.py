"""Metrics of how far policies are apart: sampled ratios, exact divergences."""

from __future__ import annotations

from collections.abc import Iterator

from rlcli.catalog.metric import BOUNDS, ESS, KL_ESTIMATORS, OWN, PPO, PSIS, TRPO, Direction, Metric


def ratios(group: str, ref: str, note: str) -> Iterator[Metric]:
    """Metrics of the sampled ratios ρ = π/ref; `note` says how samples are weighted."""
    ratio = f"ρ = π/{ref}"

    def one(name: str, formula: str, text: str, better: Direction = "neither", source: str = OWN) -> Metric:
        unit = "ratio" if name.startswith("ratio") else "fraction"
        return Metric(f"{group}/{name}", unit, formula, f"{text}{note}", better, source)

    yield one("ratio_mean", f"mean ρ, {ratio}", "Mean ratio; its expectation is 1.")
    yield one("ratio_min", "min ρ", "Minimum ratio of the batch.")
    yield one("ratio_max", "max ρ", "Maximum ratio of the batch.")
    for name, percent in (("ratio_p01", 1), ("ratio_p50", 50), ("ratio_p99", 99)):
        text = f"{percent}th percentile of the ratio." if percent > 1 else "1st percentile of the ratio."
        yield one(name, f"min {{v : share[ρ ≤ v] ≥ {percent / 100:g}}}", text)
    yield one(
        "clip_fraction",
        "mean 1[|ρ - 1| > 0.2]",
        "Share of samples whose ratio is farther than 0.2 from 1: the same 0.2 for every algorithm, so "
        "that they can be compared.",
        source=PPO,
    )
    yield one(
        "clip_fraction_own",
        "mean 1[|ρ - 1| > ε]",
        "Share of samples outside the algorithm's own, scheduled clip range ε (above 1: algo.clip_high). "
        "Absent without a clip.",
        source=PPO,
    )
    yield one(
        "clip_active",
        "mean 1[(ρ > 1+ε ∧ A > 0) ∨ (ρ < 1-ε ∧ A < 0)]",
        "Share of samples whose policy gradient the clip makes 0, or algo.surrogate=spo turns back; ε above "
        "1 is algo.clip_high where that is set. A is whitened over the batch "
        "unless algo.normalize_advantage=none. Absent without a clip.",
        source=PPO,
    )
    yield one(
        "ess",
        "(Σρ)² / (B Σρ²)",
        "Effective sample size over the batch size, in (0, 1]: the share of independent samples of π that "
        "would estimate as precisely as these reweighted ones. 1 when all ratios are equal.",
        "higher",
        ESS,
    )
    yield Metric(
        f"{group}/kl_k1",
        "nats",
        "mean(-log ρ)",
        f"Sampled estimator k1 of KL({ref}‖π): unbiased, high variance, may be negative.{note}",
        "neither",
        KL_ESTIMATORS,
    )
    yield Metric(
        f"{group}/kl_k3",
        "nats",
        "mean(ρ - 1 - log ρ)",
        f"Sampled estimator k3 of KL({ref}‖π): unbiased, low variance, never negative.{note}",
        "neither",
        KL_ESTIMATORS,
    )
    yield one(
        "tv_sampled",
        "½ mean|ρ - 1|",
        f"Sampled estimate of the total variation between {ref} and π; never compared with a bound.",
    )


def divergences(group: str, ref: str, key: str) -> Iterator[Metric]:
    """Exact divergences between π and a reference, state by state; `key` is the reference in names."""
    exact = "computed from the two distributions at each state of the batch, without sampling actions."
    for name, formula in ((f"kl_{key}_pi", f"KL({ref}‖π)"), (f"kl_pi_{key}", f"KL(π‖{ref})")):
        yield Metric(
            f"{group}/{name}", "nats", f"mean_s {formula}", f"Mean exact divergence, {exact}", "neither", TRPO
        )
        yield Metric(
            f"{group}/{name}_max",
            "nats",
            f"max_s {formula}",
            f"Maximum exact divergence over states, {exact}",
            "neither",
            TRPO,
        )
    yield Metric(
        f"{group}/tv",
        "fraction",
        f"mean_s ½ Σ_a |{ref}(a|s) - π(a|s)|",
        "Mean exact total variation over states, where it has a closed form (categorical; Gaussians of "
        f"equal deviation σ at distance d·σ: 2Φ(d/2) - 1). Absent elsewhere; see {group}/tv_sampled.",
        "neither",
        TRPO,
    )
    yield Metric(
        f"{group}/tv_bound",
        "fraction",
        f"mean_s min{{√(KL/2), √(1 - exp(-KL))}}, KL = KL({ref}‖π)",
        "Upper bound of the mean total variation from the exact KL, state by state: the smaller of "
        "Pinsker's and Bretagnolle and Huber's bound; rounded up by 1e-12 of itself, so that the mean total "
        "variation, where there is one, never exceeds it.",
        "neither",
        BOUNDS,
    )


def tail() -> Metric:
    """How heavy the upper tail of the ratios π/μ is."""
    return Metric(
        "behaviour/khat",
        "1",
        "k of a generalized Pareto distribution, fitted to the min(B/5, 3 √B) largest ρ",
        "Shape of the upper tail of the ratios π/μ: E[ρ^m] exists for m < 1/k. ESS may look well where "
        "their variance is infinite; above 0.7 an estimate with these ratios cannot be trusted. Below 0 the "
        "tail has an end. Absent with fewer than 20 ratios in the tail (batches below 96 samples), where "
        "fewer than a quarter of these differ (environments of few states), and with health.khat=false.",
        "lower",
        PSIS,
    )
