"""Catalogue of metrics: definition, unit, formula, which way is better, source.

Legend of the formulas: μ the behaviour policy that acted, π the policy after the update, anchor the policy
at the start of the update (μ itself at lag 0), ρ = π/ref the importance ratio of a sample's action (ref is μ
or the anchor), s a state of the batch, e an epoch or an episode, A an advantage, V the value function, R a
value target, L the surrogate, θ the parameters, ε a clip range, B = T·N the samples of one update. Figures
of behaviour/ and update/ are taken after the update, on its whole batch, in float64.

`rlcli explain`, the documentation and the reports read this; no metric is defined anywhere else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Direction = Literal["higher", "lower", "neither"]


@dataclass(frozen=True)
class Metric:
    """Definition of one metric of a row."""

    name: str
    unit: str
    formula: str
    definition: str
    direction: Direction
    """Which way is better, all else equal; `neither` for quantities to keep in a range or to monitor."""
    source: str
    """The paper the definition comes from, or `rlcli` where it is this project's own."""


OWN = "rlcli"
PPG = "Cobbe et al. 2021, Phasic Policy Gradient"
PPO = "Schulman et al. 2017, Proximal Policy Optimization Algorithms"
TRPO = "Schulman et al. 2015, Trust Region Policy Optimization"
ESS = "Kong 1992, A Note on Importance Sampling using Standardized Weights"
PSIS = "Vehtari et al. 2024, Pareto Smoothed Importance Sampling"
KL_ESTIMATORS = "Schulman 2020, Approximating KL Divergence"
GYMNASIUM = "Gymnasium, RecordEpisodeStatistics"
BOUNDS = "Pinsker; Bretagnolle and Huber 1979; Canonne 2022, A short note on an inequality between KL and TV"


def _metric(name: str, unit: str, formula: str, text: str, better: Direction, source: str = OWN) -> Metric:
    return Metric(name, unit, formula, text, better, source)


def _position() -> Iterator[Metric]:
    yield _metric(
        "update", "updates", "u = 1, 2, …", "Updates done; row u is written after update u.", "neither"
    )
    yield _metric(
        "env_steps",
        "env steps",
        "u·T·N",
        "Environment steps collected since the run began, over all its environments.",
        "neither",
    )


def _training() -> Iterator[Metric]:
    yield _metric(
        "train/return_mean",
        "reward",
        "mean_e Σ_t r_t",
        "Mean undiscounted return of the episodes that ended in this rollout, of raw rewards, under the "
        "sampled actions of the behaviour policy. Absent when none ended.",
        "higher",
        GYMNASIUM,
    )
    yield _metric(
        "train/length_mean",
        "steps",
        "mean_e T_e",
        "Mean length of the episodes that ended in this rollout. Absent when none ended.",
        "neither",
        GYMNASIUM,
    )
    yield _metric("train/episodes", "episodes", "|{e}|", "Episodes that ended in this rollout.", "neither")
    yield _metric(
        "train/return_100",
        "reward",
        "mean of the last 100 Σ_t r_t",
        "Mean return of the last 100 episodes that ended, or of all while there are fewer.",
        "higher",
        GYMNASIUM,
    )


def _evaluation() -> Iterator[Metric]:
    shared = (
        "of the evaluation's episodes, played on separate environments with the same seeds at every "
        "evaluation, with the mode of the policy and frozen normalisation. Raw rewards."
    )
    yield _metric("eval/return_mean", "reward", "mean_j G_j", f"Mean return {shared}", "higher")
    yield _metric(
        "eval/return_std",
        "reward",
        "√(mean_j (G_j - mean G)²)",
        f"Standard deviation (divisor n) of the return {shared}",
        "lower",
    )
    yield _metric("eval/return_min", "reward", "min_j G_j", f"Minimum return {shared}", "higher")
    yield _metric("eval/return_max", "reward", "max_j G_j", f"Maximum return {shared}", "higher")
    yield _metric("eval/length_mean", "steps", "mean_j T_j", f"Mean length {shared}", "neither")
    yield _metric("eval/episodes", "episodes", "n", "Episodes of this evaluation.", "neither")
    yield _metric(
        "eval/cut",
        "episodes",
        "|{j: T_j = eval.max_steps, no end}|",
        "Episodes of this evaluation that did not end and were stopped after eval.max_steps steps: returns "
        "and lengths are of the steps played. Absent when none were.",
        "lower",
    )
    yield _metric(
        "eval/final",
        "1",
        "1",
        "Present, as 1, when the evaluation was made only because the run ended here, beside those that "
        "eval.every asks for: a longer run has none at this update.",
        "neither",
    )


def _ratios(group: str, ref: str, note: str) -> Iterator[Metric]:
    """Metrics of the sampled ratios ρ = π/ref; `note` says how samples are weighted."""
    ratio = f"ρ = π/{ref}"

    def one(name: str, formula: str, text: str, better: Direction = "neither", source: str = OWN) -> Metric:
        unit = "ratio" if name.startswith("ratio") else "fraction"
        return _metric(f"{group}/{name}", unit, formula, f"{text}{note}", better, source)

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
    yield _metric(
        f"{group}/kl_k1",
        "nats",
        "mean(-log ρ)",
        f"Sampled estimator k1 of KL({ref}‖π): unbiased, high variance, may be negative.{note}",
        "neither",
        KL_ESTIMATORS,
    )
    yield _metric(
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


def _divergences(group: str, ref: str, key: str) -> Iterator[Metric]:
    """Exact divergences between π and a reference, state by state; `key` is the reference in names."""
    exact = "computed from the two distributions at each state of the batch, without sampling actions."
    for name, formula in ((f"kl_{key}_pi", f"KL({ref}‖π)"), (f"kl_pi_{key}", f"KL(π‖{ref})")):
        yield _metric(
            f"{group}/{name}", "nats", f"mean_s {formula}", f"Mean exact divergence, {exact}", "neither", TRPO
        )
        yield _metric(
            f"{group}/{name}_max",
            "nats",
            f"max_s {formula}",
            f"Maximum exact divergence over states, {exact}",
            "neither",
            TRPO,
        )
    yield _metric(
        f"{group}/tv",
        "fraction",
        f"mean_s ½ Σ_a |{ref}(a|s) - π(a|s)|",
        "Mean exact total variation over states, where it has a closed form (categorical; Gaussians of "
        f"equal deviation σ at distance d·σ: 2Φ(d/2) - 1). Absent elsewhere; see {group}/tv_sampled.",
        "neither",
        TRPO,
    )
    yield _metric(
        f"{group}/tv_bound",
        "fraction",
        f"mean_s min{{√(KL/2), √(1 - exp(-KL))}}, KL = KL({ref}‖π)",
        "Upper bound of the mean total variation from the exact KL, state by state: the smaller of "
        "Pinsker's and Bretagnolle and Huber's bound; rounded up by 1e-12 of itself, so that the mean total "
        "variation, where there is one, never exceeds it.",
        "neither",
        BOUNDS,
    )


def _update() -> Iterator[Metric]:
    def one(
        name: str, unit: str, formula: str, text: str, better: Direction = "neither", source: str = OWN
    ) -> Metric:
        return _metric(f"update/{name}", unit, formula, text, better, source)

    yield one(
        "budget_used",
        "fraction",
        "mean_s KL(anchor‖π) / budget",
        "Share of the KL budget this update spent; above 1 it was exceeded. The budget is -½ ln(1 - ε²) for "
        "a clip ε (which KL cannot exceed while every ratio is within the clip: 0.0204 at 0.2) and for spo, "
        "whose best ratios are the ends of that range; -(ε ln(1+ε') + ε' ln(1-ε)) / (ε+ε') with an "
        "algo.clip_high ε', for the same reason; for dppo algo.dppo_threshold δ, or 2δ² of a total "
        "variation, within which it cannot exceed δ; algo.delta of a natural step, algo.kl_target of an "
        "adaptive penalty, else health.kl_reference, for cispo too, which bounds weights and not moves. An "
        "adaptive penalty=kl_pi_anchor spends KL(π‖anchor), which is what it penalises and adapts to.",
    )
    yield one(
        "entropy",
        "nats",
        "mean_s -Σ_a π(a|s) log π(a|s)",
        "Mean entropy of the policy after the update; of densities it may be negative. With "
        "network.squash=tanh that of the squashed actions, in the environment's units.",
    )
    yield one(
        "explained_variance",
        "fraction",
        "1 - Var[R - V] / Var[R]",
        "How much of the value targets' variance the critic from before the update explains: 1 all, 0 no "
        "more than a constant, negative less. Absent when the targets do not vary.",
        "higher",
    )
    yield one(
        "grad_norm_mean",
        "1",
        "mean_k ‖g_k‖₂",
        "Mean joint gradient norm of actor and critic over the update's gradient steps, before clipping.",
    )
    yield one("grad_norm_max", "1", "max_k ‖g_k‖₂", "Maximum of those gradient norms.")
    yield one(
        "gain_predicted",
        "1",
        "∇L(θ₀)·(θ - θ₀)",
        "Gain predicted for the step taken by the surrogate's gradient at the start of the update. Absent "
        "with health.gain_predicted=false.",
        "higher",
        TRPO,
    )
    yield one(
        "gain_realised",
        "1",
        "L(θ) - L(θ₀)",
        "Realised gain of the surrogate on the whole batch. With algo.surrogate=weighted: the gain of "
        "following the estimated gradient on the straight line of log-probabilities from policy to policy, "
        "which is the difference of the weighted estimate wherever the estimated gradient is that of one.",
        "higher",
        TRPO,
    )
    yield one("gradient_steps", "steps", "k", "Gradient steps taken before an early stop, if any.", "neither")
    yield one("epochs", "epochs", "", "Passes over the batch begun before an early stop, if any.")
    yield one("learning_rate", "1", "", "Learning rate of this update, as scheduled or adapted.")
    yield one("clip", "ratio", "ε", "Clip range of this update, as scheduled. Absent without a clip.")
    yield one("beta", "1", "β", "Coefficient of the KL penalty in this update. Absent without a penalty.")
    yield one(
        "beta_bound",
        "code",
        "1[β ≥ beta_max·algo.beta] - 1[β ≤ beta_min·algo.beta]",
        "Whether an adaptive β of this update is at a bound: -1 at its floor, where it is halved no "
        "further, 1 at its ceiling, else 0. At 1 for long, the KL does not respond to the penalty: the "
        "learning rate is too large, or algo.kl_target too small. Absent without an adaptive penalty.",
        source=PPO,
    )
    yield one(
        "cg_residual",
        "fraction",
        "‖(F + λI)s - g‖₂ / ‖g‖₂",
        "How far conjugate gradients were from the natural gradient. Absent without a natural step.",
        "lower",
        TRPO,
    )
    yield one(
        "cg_curvature",
        "1",
        "sᵀ(F + λI)s / sᵀs",
        "Damped curvature along the natural gradient, per unit of its squared length. Absent without a "
        "natural step.",
        "neither",
        TRPO,
    )
    yield one(
        "step_accepted",
        "fraction",
        "shrink^k",
        "Share of the full natural step that the line search accepted; 0: none, and the policy is unchanged. "
        "Absent without a natural step.",
        "higher",
        TRPO,
    )
    yield one(
        "step_outcome",
        "code",
        "",
        "How a natural step ended: 0 taken, 1 the gradient is zero, 2 the curvature is not positive, 3 a "
        "number was not finite, 4 the line search accepted no candidate. Absent without a natural step.",
    )
    yield one("lag", "updates", "", "Age of the behaviour policy: updates it is behind the learner.")


def _weights() -> Iterator[Metric]:
    of_weights = (
        "of the importance weights of the policy after the update, as the estimator would use them, capped "
        "and self-normalised as asked: over segments for algo.weights=trajectory and per_decision (each with "
        "its last weight), else over steps. With algo.reuse > 1 over the samples of all rollouts it learns "
        "from; with algo.surrogate=clipped of the policy before the update. Only with "
        "algo.surrogate=weighted or algo.reuse > 1."
    )
    yield _metric(
        "weights/ess", "fraction", "(Σw)² / (n Σw²)", f"Effective sample size {of_weights}", "higher", ESS
    )
    yield _metric("weights/max", "1", "max w", f"The largest {of_weights}", "neither")
    yield _metric("weights/variance", "1", "mean (w - mean w)²", f"The variance {of_weights}", "lower")


def _losses() -> Iterator[Metric]:
    during = "Mean over the update's gradient steps, on their minibatches."
    yield _metric(
        "loss/policy",
        "1",
        "-mean L",
        f"Minus the surrogate objective; with algo.surrogate=weighted minus the "
        f"importance-weighted estimate of the gain, over B. {during}",
        "neither",
        PPO,
    )
    yield _metric(
        "loss/value",
        "reward²",
        "mean (V - R)²",
        f"Value loss, without a factor ½ and before algo.value_coef. {during}",
        "lower",
    )
    yield _metric("loss/entropy", "nats", "mean H(π(·|s))", f"Entropy of the policy. {during}", "neither")
    yield _metric(
        "loss/penalty",
        "nats",
        "β mean KL",
        f"Penalty on the divergence from the anchor. Absent without one. {during}",
        "neither",
        PPO,
    )
    yield _metric(
        "loss/total",
        "1",
        "policy + value_coef·value - entropy_coef·entropy + penalty",
        f"Loss that the optimiser minimises. {during}",
        "neither",
        PPO,
    )


def _auxiliary() -> Iterator[Metric]:
    after = "after an auxiliary phase, over all its rollouts. Only in rows of updates that end with one."
    yield _metric(
        "auxiliary/value",
        "reward²",
        "mean (V - R)²",
        f"Squared error of the value function {after}",
        "lower",
        PPG,
    )
    yield _metric(
        "auxiliary/value_aux",
        "reward²",
        "mean (V_aux - R)²",
        f"Squared error of the value head on the policy's trunk {after} Absent with network.shared=true, "
        "where V itself is that head.",
        "lower",
        PPG,
    )
    yield _metric(
        "auxiliary/clone_kl",
        "nats",
        "mean_s KL(π_before‖π)",
        f"Mean exact divergence from the policy before the phase, which algo.beta_clone penalises, {after}",
        "neither",
        PPG,
    )


def _epochs() -> Iterator[Metric]:
    def one(name: str, unit: str, formula: str, better: Direction) -> Metric:
        text = f"behaviour/{name} after each epoch e of the update: a list, one number per epoch."
        return _metric(f"epochs/{name}", unit, formula, text, better)

    yield one("kl_mu_pi", "nats", "mean_s KL(μ‖π_e)", "neither")
    yield one("kl_pi_mu", "nats", "mean_s KL(π_e‖μ)", "neither")
    yield one("ess", "fraction", "(Σρ_e)² / (B Σρ_e²)", "higher")
    yield one("clip_fraction", "fraction", "mean 1[|ρ_e - 1| > 0.2]", "neither")


def _times() -> Iterator[Metric]:
    yield _metric(
        "time/steps_per_second",
        "steps/s",
        "T·N / seconds",
        "Environment steps per second over this update, everything included.",
        "higher",
    )
    yield _metric(
        "time/elapsed", "s", "", "Wall-clock time since this process started or resumed the run.", "lower"
    )
    for name, text in (
        ("collect", "Time this update spent acting and stepping environments."),
        ("environment", "Part of time/collect spent in environments. Only with profile=true."),
        ("learn", "Time this update spent on targets and gradient steps."),
        ("estimate", "Part of time/learn before the first gradient step: values, targets, whole gradient."),
        ("health", "Time this update spent on the figures of behaviour/ and update/."),
        ("evaluate", "Time spent evaluating after this update."),
        ("log", "Time spent writing the previous row and its digests."),
        ("digests", "Part of time/log spent on digests."),
        ("save", "Time spent saving a checkpoint after the previous update. Absent when nothing was saved."),
    ):
        yield _metric(f"time/{name}", "s", "", text, "lower")


def _actors() -> Iterator[Metric]:
    def one(
        name: str, unit: str, text: str, better: Direction, order: str = " and collect.order=free"
    ) -> Metric:
        only = f" Only with collect.mode=process{order}."
        return _metric(f"actors/{name}", unit, "", text + only, better)

    yield one(
        "restarts",
        "processes",
        "Actors that ended or hung during this update and were replaced.",
        "lower",
        "",
    )
    for name, which in (("lag", "mean over"), ("lag_min", "minimum of"), ("lag_max", "maximum of")):
        text = (
            f"Updates since the parameters that a rollout was collected with, {which} those of this update."
        )
        yield one(name, "updates", text, "lower")
    yield one(
        "queue",
        "rollouts",
        "Rollouts that waited when this update's last one was taken, without it.",
        "neither",
    )
    yield one(
        "busy",
        "fraction",
        "Share of their time that the actors of this update's rollouts collected, rather than waited.",
        "higher",
    )
    yield one(
        "learner_busy", "fraction", "Share of its time that the learner learnt, rather than waited.", "higher"
    )
    yield one(
        "dropped",
        "rollouts",
        "Rollouts dropped before those of this update, older than collect.max_lag or lost.",
        "lower",
    )


def _all() -> Iterator[Metric]:
    yield from _position()
    yield from _training()
    yield from _evaluation()
    yield from _ratios("behaviour", "μ", "")
    yield from _divergences("behaviour", "μ", "mu")
    yield _metric(
        "behaviour/khat",
        "1",
        "k of a generalized Pareto distribution, fitted to the min(B/5, 3 √B) largest ρ",
        "Shape of the upper tail of the ratios π/μ: E[ρ^m] exists for m < 1/k. ESS may look well where "
        "their variance is infinite; above 0.7 an estimate with these ratios cannot be trusted. Below 0 the "
        "tail has an end. Absent with fewer than 20 ratios in the tail (batches below 96 samples), where "
        "these are equal, and with health.khat=false.",
        "lower",
        PSIS,
    )
    weighted = " Under lag each sample carries the weight anchor/μ, self-normalised."
    yield from _ratios("update", "anchor", weighted)
    yield from _divergences("update", "anchor", "anchor")
    yield from _update()
    yield from _weights()
    yield from _losses()
    yield from _auxiliary()
    yield from _epochs()
    yield from _times()
    yield from _actors()


_METRICS = {metric.name: metric for metric in _all()}
METRICS: Mapping[str, Metric] = MappingProxyType(_METRICS)
"""Every metric by its name, in the order in which groups are read; those of the user's own code come last."""


def add(metric: Metric) -> None:
    """Adds a metric of the user's own code."""
    _METRICS[metric.name] = metric


HEADLINES = (
    "train/return_100",
    "eval/return_mean",
    "behaviour/ess",
    "behaviour/khat",
    "behaviour/clip_fraction",
    "behaviour/kl_mu_pi",
    "behaviour/kl_pi_mu",
    "update/budget_used",
    "update/entropy",
    "update/explained_variance",
    "time/steps_per_second",
)
"""The most informative metrics of a row, for summaries."""
