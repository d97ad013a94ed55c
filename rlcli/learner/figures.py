"""An update's figures by catalogue name: health against μ and the anchor, losses, step sizes.

Shapes: R runs, B samples, S gradient steps. Figures are [R] float64, NaN where undefined.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rlcli.config.schema import RunConfig
from rlcli.learner.algorithm import Algorithm, Improvement
from rlcli.learner.hyperparameters import Hyperparameters
from rlcli.maths.distribution import Distribution
from rlcli.maths.health import clip_figures, divergence, health


class Reference(NamedTuple):
    """A policy that health is measured against, in float64."""

    name: str
    """mu or anchor, as metric names have it."""
    distribution: Distribution
    log_prob: Tensor
    """[R, B]: of the actions taken."""
    weights: Tensor | None
    """[R, B]: what turns samples of μ into samples of the reference; None when they are."""


def reference(
    name: str, distribution: Distribution, actions: Tensor, mu: Reference | None = None
) -> Reference:
    """A reference policy; one that is not μ itself carries the ratios reference/μ as weights."""
    exact = distribution.double()
    log_prob = exact.log_prob(actions)
    weights = None if mu is None else (log_prob - mu.log_prob).exp()
    return Reference(name, exact, log_prob, weights)


def health_figures(
    group: str,
    against: Reference,
    policy: Distribution,
    actions: Tensor,
    advantages: Tensor,
    clip: Tensor | None,
) -> dict[str, Tensor]:
    """Every figure of `group/...`; `advantages` are for clip_active, `clip` ε [R, 1]."""
    log_ratio = policy.log_prob(actions) - against.log_prob
    figures = health(against.distribution, policy, log_ratio, against.weights)
    if clip is not None:
        figures |= clip_figures(log_ratio, advantages.double(), clip.double(), against.weights)
    return {f"{group}/{_named(name, against.name)}": value for name, value in figures.items()}


def epoch_figures(against: Reference, policy: Distribution, actions: Tensor) -> dict[str, Tensor]:
    """The figures of each epoch of an update (`epochs/...`)."""
    figures = divergence(
        against.distribution, policy, policy.log_prob(actions) - against.log_prob, against.weights
    )
    return {f"epochs/{_named(name, against.name)}": value for name, value in figures.items()}


def step_figures(
    algorithm: Algorithm,
    configs: Sequence[RunConfig],
    hyper: Hyperparameters,
    improvement: Improvement,
    kl: Tensor,
) -> dict[str, Tensor]:
    """Losses, gradient norms, counts and settings of an update; `kl` [R] is what it spent of its budget."""
    accepted = improvement.accepted.double()
    count = accepted.sum(0)
    norms = improvement.gradient_norms.double()
    figures = {
        f"loss/{name}": (accepted * loss).sum(0) / count
        for name, loss in improvement.losses._asdict().items()
    }
    figures |= {
        "update/grad_norm_mean": (accepted * norms).sum(0) / count,
        "update/grad_norm_max": torch.where(improvement.accepted, norms, -math.inf).amax(0),
        "update/gradient_steps": count,
        "update/epochs": torch.stack(improvement.epochs).double().sum(0),
        "update/budget_used": kl / algorithm.budget(configs, hyper),
        "update/learning_rate": hyper.learning_rate.squeeze(-1).double(),
        "update/lag": torch.full_like(count, configs[0].lag),
    }
    if algorithm.clips:
        figures["update/clip"] = hyper.clip.squeeze(-1).double()
    if algorithm.penalty is None:
        del figures["loss/penalty"]
    return {name: torch.where(value.isfinite(), value, math.nan) for name, value in figures.items()}


def as_update(name: str) -> str:
    """The name under `update/` of a figure of `behaviour/`: at lag 0 they are equal."""
    return name.replace("behaviour/", "update/").replace("mu", "anchor")


def _named(figure: str, reference: str) -> str:
    """kl_ref_pi -> kl_mu_pi."""
    return figure.replace("ref", reference) if figure.startswith("kl_") else figure
