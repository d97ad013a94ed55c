"""An update's figures by catalogue name: health against μ and the anchor, losses, step sizes.

Shapes: R runs, B samples, S gradient steps. Figures are [R] float64, NaN where undefined.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from rlcli.config.schema.run import RunConfig
from rlcli.learner.algorithm import Algorithm, Improvement, Losses
from rlcli.learner.comparison import TORCH, Comparison, Measured
from rlcli.learner.hyperparameters import Hyperparameters

STEPS = (
    *(f"loss/{name}" for name in Losses._fields),
    "update/grad_norm_mean",
    "update/grad_norm_max",
    "update/gradient_steps",
    "update/epochs",
    "update/budget_used",
)
"""The figures of `Comparison.step_figures` in their order, without settings."""


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
    settings = [hyper.learning_rate, *([] if algorithm.clip_range is None else [hyper.clip])]
    table = algorithm.operations.comparison.step_figures(
        improvement, kl, algorithm.budget(configs, hyper), settings
    )
    *of_steps, rate = table[: len(STEPS) + 1].unbind(0)
    figures = dict(zip(STEPS, of_steps, strict=True))
    figures |= {"update/learning_rate": rate, "update/lag": torch.full_like(kl, configs[0].lag)}
    if algorithm.clip_range is not None:
        figures["update/clip"] = table[-1]
    if algorithm.penalty is None:
        del figures["loss/penalty"]
    return figures


@cache
def as_update(name: str) -> str:
    """The name under `update/` of a figure of `behaviour/`: at lag 0 they are equal."""
    return name.replace("behaviour/", "update/").replace("mu", "anchor")


@cache
def _named(group: str, figure: str, reference: str) -> str:
    """GROUP/kl_ref_pi -> GROUP/kl_mu_pi."""
    return f"{group}/{figure.replace('ref', reference) if figure.startswith('kl_') else figure}"
