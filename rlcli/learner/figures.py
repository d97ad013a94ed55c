"""An update's figures by catalogue name: health against μ and the anchor, losses, step sizes.

Shapes: R runs, B samples, S gradient steps. Figures are [R] float64, NaN where undefined.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from rlcli.config.schema import RunConfig
from rlcli.learner.algorithm import Algorithm, Improvement, Losses
from rlcli.learner.comparison import TORCH, Comparison, Measured
from rlcli.learner.hyperparameters import Hyperparameters


class Reference(NamedTuple):
    """A policy that health is measured against."""

    name: str
    """mu or anchor, as metric names have it."""
    policy: Measured
    weights: Tensor | None
    """[R, B]: what turns samples of μ into samples of the reference; None when they are."""

    @property
    def log_prob(self) -> Tensor:
        """[R, B]: of the actions taken, in float64."""
        return self.policy.log_prob


def reference(
    name: str, policy: Measured, comparison: Comparison = TORCH, mu: Reference | None = None
) -> Reference:
    """A reference policy; one that is not μ itself carries the ratios reference/μ as weights."""
    weights = None if mu is None else comparison.ratios(policy.log_prob - mu.log_prob)
    return Reference(name, policy, weights)


def health_figures(
    group: str, against: Reference, policy: Measured, advantages: Tensor, clip: Tensor | None
) -> dict[str, Tensor]:
    """Every figure of `group/...`; `advantages` are for clip_active, `clip` ε [R, 1]."""
    figures = policy.health(against.policy, against.weights, advantages, clip)
    return {_named(group, name, against.name): value for name, value in figures.items()}


def epoch_figures(against: Reference, policy: Measured) -> dict[str, Tensor]:
    """The figures of each epoch of an update (`epochs/...`)."""
    figures = policy.divergence(against.policy, against.weights)
    return {_named("epochs", name, against.name): value for name, value in figures.items()}


def step_figures(
    algorithm: Algorithm,
    configs: Sequence[RunConfig],
    hyper: Hyperparameters,
    improvement: Improvement,
    kl: Tensor,
) -> dict[str, Tensor]:
    """Losses, gradient norms, counts and settings of an update; `kl` [R] is what it spent of its budget."""
    columns = (*improvement.losses, improvement.gradient_norms)
    found = algorithm.operations.comparison.over_steps(columns, improvement.accepted)
    *losses, norm, most, count = found.unbind(0)
    figures = {f"loss/{name}": loss for name, loss in zip(Losses._fields, losses, strict=True)}
    figures |= {
        "update/grad_norm_mean": norm,
        "update/grad_norm_max": most,
        "update/gradient_steps": count,
        "update/epochs": torch.stack(improvement.epochs).double().sum(0),
        "update/budget_used": kl / algorithm.budget(configs, hyper),
        "update/learning_rate": hyper.learning_rate.squeeze(-1).double(),
        "update/lag": torch.full_like(count, configs[0].lag),
    }
    if algorithm.clip_range is not None:
        figures["update/clip"] = hyper.clip.squeeze(-1).double()
    if algorithm.penalty is None:
        del figures["loss/penalty"]
    table = torch.stack(tuple(figures.values()))
    table = torch.where(table.isfinite(), table, math.nan)
    return dict(zip(figures, table.unbind(0), strict=True))


@cache
def as_update(name: str) -> str:
    """The name under `update/` of a figure of `behaviour/`: at lag 0 they are equal."""
    return name.replace("behaviour/", "update/").replace("mu", "anchor")


@cache
def _named(group: str, figure: str, reference: str) -> str:
    """GROUP/kl_ref_pi -> GROUP/kl_mu_pi."""
    return f"{group}/{figure.replace('ref', reference) if figure.startswith('kl_') else figure}"
