"""Metrics of an update: its step, its importance weights, losses, auxiliary phase and epochs."""

from __future__ import annotations

from collections.abc import Iterator

from rlcli.catalog.metric import ESS, OWN, PPG, PPO, TRPO, Direction, Metric


def update() -> Iterator[Metric]:
    """The step of an update, and what limited it."""

    def one(
        name: str, unit: str, formula: str, text: str, better: Direction = "neither", source: str = OWN
    ) -> Metric:
        return Metric(f"update/{name}", unit, formula, text, better, source)

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


def weights() -> Iterator[Metric]:
    """Importance weights."""
    of_weights = (
        "of the importance weights of the policy after the update, as the estimator would use them, capped "
        "and self-normalised as asked: over segments for algo.weights=trajectory and per_decision (each with "
        "its last weight), else over steps. With algo.reuse > 1 over the samples of all rollouts it learns "
        "from; with algo.surrogate=clipped of the policy before the update. Only with "
        "algo.surrogate=weighted or algo.reuse > 1."
    )
    yield Metric(
        "weights/ess", "fraction", "(Σw)² / (n Σw²)", f"Effective sample size {of_weights}", "higher", ESS
    )
    yield Metric("weights/max", "1", "max w", f"The largest {of_weights}", "neither")
    yield Metric("weights/variance", "1", "mean (w - mean w)²", f"The variance {of_weights}", "lower")


def losses() -> Iterator[Metric]:
    """The parts of the loss."""
    during = "Mean over the update's gradient steps, on their minibatches."
    yield Metric(
        "loss/policy",
        "1",
        "-mean L",
        f"Minus the surrogate objective; with algo.surrogate=weighted minus the "
        f"importance-weighted estimate of the gain, over B. {during}",
        "neither",
        PPO,
    )
    yield Metric(
        "loss/value",
        "reward²",
        "mean (V - R)²",
        f"Value loss, without a factor ½ and before algo.value_coef. {during}",
        "lower",
    )
    yield Metric("loss/entropy", "nats", "mean H(π(·|s))", f"Entropy of the policy. {during}", "neither")
    yield Metric(
        "loss/penalty",
        "nats",
        "β mean KL",
        f"Penalty on the divergence from the anchor. Absent without one. {during}",
        "neither",
        PPO,
    )
    yield Metric(
        "loss/total",
        "1",
        "policy + value_coef·value - entropy_coef·entropy + penalty",
        f"Loss that the optimiser minimises. {during}",
        "neither",
        PPO,
    )


def auxiliary() -> Iterator[Metric]:
    """Auxiliary phases."""
    after = "after an auxiliary phase, over all its rollouts. Only in rows of updates that end with one."
    yield Metric(
        "auxiliary/value",
        "reward²",
        "mean (V - R)²",
        f"Squared error of the value function {after}",
        "lower",
        PPG,
    )
    yield Metric(
        "auxiliary/value_aux",
        "reward²",
        "mean (V_aux - R)²",
        f"Squared error of the value head on the policy's trunk {after} Absent with network.shared=true, "
        "where V itself is that head.",
        "lower",
        PPG,
    )
    yield Metric(
        "auxiliary/clone_kl",
        "nats",
        "mean_s KL(π_before‖π)",
        f"Mean exact divergence from the policy before the phase, which algo.beta_clone penalises, {after}",
        "neither",
        PPG,
    )


def epochs() -> Iterator[Metric]:
    """How the policy moved from epoch to epoch."""

    def one(name: str, unit: str, formula: str, better: Direction) -> Metric:
        text = f"behaviour/{name} after each epoch e of the update: a list, one number per epoch."
        return Metric(f"epochs/{name}", unit, formula, text, better)

    yield one("kl_mu_pi", "nats", "mean_s KL(μ‖π_e)", "neither")
    yield one("kl_pi_mu", "nats", "mean_s KL(π_e‖μ)", "neither")
    yield one("ess", "fraction", "(Σρ_e)² / (B Σρ_e²)", "higher")
    yield one("clip_fraction", "fraction", "mean 1[|ρ_e - 1| > 0.2]", "neither")
