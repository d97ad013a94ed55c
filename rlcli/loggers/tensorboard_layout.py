"""Layout of TensorBoard's custom scalars: the charts of a run, grouped by what they tell of its health.

The groups are those of the metrics' names. What belongs together is one chart: a KL divergence in both
directions, the ratio's mean and quantiles, the gain that was predicted and the one that came.
"""

from __future__ import annotations

from collections.abc import Mapping

Charts = Mapping[str, tuple[str, ...]]
"""Title of a chart -> metrics, without their group."""

_RATIOS = ("ratio_p01", "ratio_p50", "ratio_p99", "ratio_mean")
_CLIPS = ("clip_fraction", "clip_fraction_own", "clip_active")
LAYOUT: Mapping[str, Charts] = {
    "train": {
        "Return": ("return_100", "return_mean"),
        "Length of an episode": ("length_mean",),
        "Episodes": ("episodes",),
    },
    "eval": {
        "Return": ("return_mean", "return_min", "return_max"),
        "Length of an episode": ("length_mean",),
    },
    "behaviour": {
        "Effective sample size": ("ess",),
        "Pareto k-hat": ("khat",),
        "Clip fraction": _CLIPS,
        "KL divergence, mean": ("kl_mu_pi", "kl_pi_mu"),
        "KL divergence, largest of a state": ("kl_mu_pi_max", "kl_pi_mu_max"),
        "KL divergence, sampled": ("kl_k1", "kl_k3"),
        "Importance ratio": _RATIOS,
        "Total variation": ("tv", "tv_sampled", "tv_bound"),
    },
    "update": {
        "Budget used": ("budget_used",),
        "Effective sample size": ("ess",),
        "Clip fraction": _CLIPS,
        "KL divergence, mean": ("kl_anchor_pi", "kl_pi_anchor"),
        "KL divergence, largest of a state": ("kl_anchor_pi_max", "kl_pi_anchor_max"),
        "Importance ratio": _RATIOS,
        "Gain": ("gain_predicted", "gain_realised"),
        "Entropy": ("entropy",),
        "Explained variance": ("explained_variance",),
        "Norm of the gradient": ("grad_norm_mean", "grad_norm_max"),
        "Gradient steps": ("gradient_steps",),
        "Learning rate": ("learning_rate",),
        "Coefficients": ("clip", "beta", "beta_bound", "lag"),
        "Line search": ("step_accepted", "step_outcome", "cg_residual"),
    },
    "weights": {"Effective sample size": ("ess",), "Largest and variance": ("max", "variance")},
    "loss": {"Losses": ("policy", "value", "entropy", "penalty", "total")},
    "auxiliary": {"Auxiliary phase": ("value", "value_aux", "clone_kl")},
    "epochs": {
        "Effective sample size": ("ess",),
        "Clip fraction": ("clip_fraction",),
        "KL divergence": ("kl_mu_pi", "kl_pi_mu"),
    },
    "time": {
        "Steps per second": ("steps_per_second",),
        "Seconds of an update": ("collect", "learn", "health", "evaluate", "log", "save"),
    },
    "actors": {
        "Lag and queue": ("lag", "queue"),
        "Utilisation": ("busy", "learner_busy"),
        "Dropped and replaced": ("dropped", "restarts"),
    },
}
"""Charts by group, in the order in which they are shown."""


def layout() -> dict[str, dict[str, list[object]]]:
    """The layout as `torch.utils.tensorboard.summary.custom_scalars` takes it, with tags as patterns."""
    return {
        group: {
            title: ["Multiline", [f"{group}/{name}$" for name in names]] for title, names in charts.items()
        }
        for group, charts in LAYOUT.items()
    }
