"""The one update of every algorithm: prepare, improve, measure.

An update is a function of the state, the rollout, and the seeds and numbers its draws derive from.
Shapes: R runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rlcli.catalog import assertions
from rlcli.collect.rollout import Rollout
from rlcli.config.schema.run import RunConfig
from rlcli.extend.tables import METRICS
from rlcli.learner.algorithm import Algorithm, Improvement
from rlcli.learner.batch import Batch
from rlcli.learner.kept import pushed as pushed_rollout
from rlcli.learner.measure import measure
from rlcli.learner.own_metrics import own_figures
from rlcli.learner.prepare import Prepared, prepare
from rlcli.learner.rate import next_factor
from rlcli.learner.state import TrainState, pushed
from rlcli.learner.statistics import advanced_statistics
from rlcli.nets.policy import Model, Snapshot


class Update(NamedTuple):
    """What one update of R runs gives."""

    state: TrainState
    batch: Batch
    figures: dict[str, Tensor]
    """Metrics by catalogue name, each [R] float64; NaN where undefined."""
    epochs: dict[str, list[Tensor]]
    """Per-epoch metrics, each a list of [R] float64; NaN where a run had stopped."""
    sound: dict[str, Tensor]
    """Masks [R] of assertions that passed, by the message shown where one failed."""
    seconds: dict[str, float]


@torch.inference_mode()
def update(
    algorithm: Algorithm,
    configs: Sequence[RunConfig],
    seeds: Sequence[int],
    model: Model,
    state: TrainState,
    rollout: Rollout,
) -> Update:
    """One update of every run on its rollout; `configs` agree on all but cohort keys."""
    begun = time.perf_counter()
    prepared = prepare(algorithm, configs, seeds, model, state, rollout)
    estimated = time.perf_counter()
    improvement = algorithm.step_rule(prepared.start)
    learned = time.perf_counter()
    figures = measure(prepared, improvement) | _penalty_figures(prepared, state)
    after = _after(prepared, improvement, state, rollout, figures)
    finite = prepared.start.algorithm.operations.comparison.finite
    sound = prepared.sound | _sound(finite, improvement, after, figures)
    if METRICS:
        log_prob = prepared.on_batch(improvement.parameters).log_prob
        own = own_figures(configs[0], prepared.start.batch, prepared.values, log_prob)
        figures, sound = figures | own.values, sound | own.sound
    per_epoch = prepared.epochs.seconds
    seconds = {
        "time/learn": learned - begun - per_epoch,
        "time/estimate": estimated - begun,
        "time/health": time.perf_counter() - learned + per_epoch,
    }
    return Update(
        after, prepared.start.batch, figures, prepared.epochs.figures(improvement.epochs), sound, seconds
    )


def _penalty_figures(prepared: Prepared, state: TrainState) -> dict[str, Tensor]:
    """beta, and whether it is at a bound."""
    start = prepared.start
    if start.penalty is None:
        return {}
    penalty, done = start.penalty.penalty, state.update.tolist()
    figures = {"update/beta": penalty.coefficients(start.configs, done, start.hyper, state.coefficient)}
    if penalty.adapts:
        figures["update/beta_bound"] = penalty.at_bound(start.hyper, state.coefficient)
    return figures


def _after(
    prepared: Prepared,
    improvement: Improvement,
    state: TrainState,
    rollout: Rollout,
    figures: dict[str, Tensor],
) -> TrainState:
    """The state that the next update starts from."""
    start = prepared.start
    config, penalty = start.configs[0], start.algorithm.penalty
    observed, returned, carried = advanced_statistics(
        start.algorithm.operations, config, start.hyper, start.model, state, rollout
    )
    coefficient, rate, spent = state.coefficient, state.rate, figures[start.algorithm.spent]
    if penalty is not None:
        coefficient = penalty.adapted(start.hyper, coefficient, spent)
    if start.algorithm.adapts_rate:
        rate = next_factor(start.hyper, rate, spent)
    return TrainState(
        policy=Snapshot(improvement.parameters, observed),
        optimiser=improvement.optimiser,
        reward_moments=returned,
        discounted=carried,
        coefficient=coefficient,
        rate=rate,
        queue=pushed(state.queue, state.policy, config.lag),
        phases=state.phases if improvement.phases is None else improvement.phases,
        kept=pushed_rollout(state.kept, rollout, state.policy),
        update=state.update + 1,
    )


def _sound(
    finite: Callable[[Tensor], Tensor],
    improvement: Improvement,
    after: TrainState,
    figures: dict[str, Tensor],
) -> dict[str, Tensor]:
    """Assertions after an update, each [R]."""
    both_ways = figures["behaviour/kl_mu_pi"] + figures["behaviour/kl_pi_mu"]
    spread = torch.cat((after.policy.moments.variance, after.reward_moments.variance), -1)
    return {
        assertions.LOSS: finite(improvement.losses.total.T),
        assertions.PARAMETER: finite(improvement.parameters),
        assertions.KL: both_ways.isfinite(),
        assertions.STATISTIC: spread.isfinite().all(-1),
    }
