"""The end of an update: every figure of the parameters that came out, whatever the step rule did.

Shapes: R runs, B samples, P parameters. Figures are [R] float64.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rlcli.learner.algorithm import Improvement
from rlcli.learner.comparison import Measured
from rlcli.learner.figures import as_update, health_figures, step_figures
from rlcli.learner.prepare import Prepared
from rlcli.nets.network import ACTOR, in_order


def measure(prepared: Prepared, improvement: Improvement) -> dict[str, Tensor]:
    """Every figure of an update by catalogue name."""
    start = prepared.start
    policy = prepared.epochs.policy(improvement.parameters)
    figures = _health(prepared, policy)
    spent = figures[start.algorithm.spent]
    figures |= step_figures(start.algorithm, start.configs, start.hyper, improvement, spent)
    figures |= improvement.figures
    move = (improvement.parameters - start.parameters).double()
    first_order = torch.zeros_like(move)
    actor = start.model.network.parts[ACTOR]
    first_order[:, actor] = prepared.objective_gradient.double() * move[:, actor]
    values, targets = prepared.values, start.batch.targets
    compare = start.algorithm.operations.comparison
    return figures | {
        "update/entropy": policy.entropy,
        "update/explained_variance": _finite(compare.explained_variance(values, targets)),
        "update/gain_predicted": compare.over_columns(in_order(start.model.network, first_order)),
        "update/gain_realised": _gain(prepared, policy.log_prob),
        **({} if start.weighting is None else start.weighting.figures(policy.log_prob)),
    }


def _health(prepared: Prepared, policy: Measured) -> dict[str, Tensor]:
    """Health against mu and against the anchor, which are one at lag 0."""
    start = prepared.start
    advantages = start.objective_advantages
    within = start.algorithm.clip_range
    clip = None if within is None else within(start.hyper)
    figures = health_figures("behaviour", prepared.mu, policy, advantages, clip)
    if start.configs[0].lag:
        return figures | health_figures("update", prepared.anchor, policy, advantages, clip)
    return figures | {as_update(name): value for name, value in figures.items()}


def _gain(prepared: Prepared, after: Tensor) -> Tensor:
    """Growth of the whole batch's objective, without entropy and value terms, in the update, [R].

    `after` [R, B] are log-probabilities of the actions under the policy that came out.
    """
    start, before = prepared.start, prepared.anchor.log_prob
    if start.weighting is not None:
        return start.batch.weighted(start.weighting.gain(before, after)).mean(-1)
    base = (prepared.mu if start.algorithm.from_behaviour else prepared.anchor).log_prob
    return start.algorithm.operations.comparison.gain(start, before, after, base)


def _finite(figure: Tensor) -> Tensor:
    return torch.where(figure.isfinite(), figure, torch.nan)
