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
from rlcli.learner.reuse import reuse_figures


def measure(prepared: Prepared, improvement: Improvement) -> dict[str, Tensor]:
    """Every figure of an update by catalogue name."""
    start = prepared.start
    policy = prepared.on_rollout(improvement.parameters)
    on_batch = prepared.on_batch(improvement.parameters)
    figures = _health(prepared, policy)
    spent = figures[start.algorithm.spent]
    figures |= step_figures(start.algorithm, start.configs, start.hyper, improvement, spent)
    figures |= improvement.figures
    predictions, targets = map(prepared.of_rollout, (prepared.learnt.predictions, start.batch.targets))
    compare = start.algorithm.operations.comparison
    return figures | {
        "update/entropy": policy.entropy,
        "update/explained_variance": _finite(compare.explained_variance(predictions, targets)),
        **_predicted(prepared, improvement),
        "update/gain_realised": _gain(prepared, on_batch.log_prob),
        **_weights(prepared, on_batch.log_prob),
    }


def _predicted(prepared: Prepared, improvement: Improvement) -> dict[str, Tensor]:
    """The gain by the objective's gradient, where there is one."""
    start, gradient = prepared.start, prepared.objective_gradient
    if gradient is None:
        return {}
    first_order = start.algorithm.operations.comparison.first_order
    before, after = start.parameters, improvement.parameters
    return {"update/gain_predicted": first_order(start.model.network, gradient, before, after)}


def _health(prepared: Prepared, policy: Measured) -> dict[str, Tensor]:
    """Health against mu and against the anchor, which are one at lag 0."""
    start = prepared.start
    advantages = prepared.of_rollout(start.objective_advantages)
    within = start.algorithm.clip_range
    clip = None if within is None else within(start.hyper)
    figures = health_figures("behaviour", prepared.mu, policy, advantages, clip)
    if start.configs[0].lag:
        both = figures | health_figures("update", prepared.anchor, policy, advantages, clip)
    else:
        both = figures | {as_update(name): value for name, value in figures.items()}
    if not start.configs[0].health.khat:
        return both
    tail = start.algorithm.operations.comparison.khat(policy.log_prob - prepared.mu.log_prob)
    return both | {"behaviour/khat": tail}


def _gain(prepared: Prepared, after: Tensor) -> Tensor:
    """Growth of the whole batch's objective, without entropy and value terms, in the update, [R].

    `after` [R, B] are log-probabilities of the actions under the policy that came out.
    """
    start = prepared.start
    before, base = prepared.anchor.log_prob, prepared.anchor.log_prob
    if prepared.learnt.joined is not None:
        before = base = prepared.initial.measured.log_prob
    elif start.algorithm.from_behaviour:
        base = prepared.mu.log_prob
    if start.weighting is not None:
        return start.batch.weighted(start.weighting.gain(before, after)).mean(-1)
    return start.algorithm.operations.comparison.gain(start, before, after, base)


def _weights(prepared: Prepared, after: Tensor) -> dict[str, Tensor]:
    """`weights/...`, where samples are weighed by importance; `after` as for `_gain`."""
    weighting, learnt = prepared.start.weighting, prepared.learnt
    if weighting is not None:
        return weighting.figures(after)
    if learnt.joined is None:
        return {}
    return reuse_figures(learnt.joined, learnt.initial.log_prob - learnt.log_acting)


def _finite(figure: Tensor) -> Tensor:
    return torch.where(figure.isfinite(), figure, torch.nan)
