"""The one update of every algorithm: anchor, batch, assertions, gradient steps, health, statistics.

An update is a function of the state, the rollout, and the seeds and numbers its draws derive from.
Shapes: R runs, B samples, P parameters.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rlcli.collect.rollout import Rollout
from rlcli.config.schema import RunConfig
from rlcli.learner.batch import (
    Batch,
    Estimator,
    Policy,
    acting_error,
    advanced_statistics,
    by_run,
    make_batch,
)
from rlcli.learner.figures import Reference, as_update, health_figures, reference, step_figures
from rlcli.learner.hyperparameters import Hyperparameters, hyperparameters
from rlcli.learner.measure import EpochMeasure
from rlcli.learner.natural import natural
from rlcli.learner.penalty import adapted, adapts, at_bound, coefficients, spent
from rlcli.learner.phasic import phasic
from rlcli.learner.sgd import permutation, sgd
from rlcli.learner.state import TrainState, behaviour, pushed
from rlcli.learner.step import Held, Improvement, Memory, Step, StepRule
from rlcli.learner.table import SURROGATES
from rlcli.learner.weighting import Weighting
from rlcli.maths.distribution import Distribution
from rlcli.maths.estimators import whiten
from rlcli.maths.health import effective_sample_size
from rlcli.nets.policy import Model, Outputs, Snapshot

ACTING_TOLERANCE = 1e-4
"""Largest relative difference of policy outputs while acting and in the batch: float32 rounding, no more."""


STEP_RULES: dict[str, StepRule] = {"sgd": sgd, "natural": natural, "phasic": phasic}


class Update(NamedTuple):
    """What one update of R runs gives."""

    state: TrainState
    batch: Batch
    figures: dict[str, Tensor]
    """Metrics by catalogue name, each [R] float64; NaN where undefined."""
    epochs: dict[str, list[Tensor]]
    """Per-epoch metrics, each a list of [R] float64; NaN where a run had stopped."""
    sound: dict[str, Tensor]
    """Masks [R] of what must hold, by what is said when it does not."""
    seconds: dict[str, float]


@torch.inference_mode()
def update(
    configs: Sequence[RunConfig],
    seeds: Sequence[int],
    model: Model,
    state: TrainState,
    rollout: Rollout,
    rule: StepRule | None = None,
) -> Update:
    """One update of every run on its rollout; `configs` agree on all but cohort keys.

    Parameters move by `rule`, or else as the row says.
    """
    config = configs[0]
    done = state.update.tolist()
    hyper = hyperparameters(configs, done, config.device)
    started = time.perf_counter()

    observations, actions = by_run(rollout.observations), by_run(rollout.actions)
    inputs = model.encode(state.policy, observations)
    initial = _policy(model, Outputs(*model.network.policy(state.policy.parameters, inputs)), actions)
    values = model.network.value(state.policy.parameters, inputs)
    acting = _policy(model, model.outputs(behaviour(state), observations), actions)
    estimator = Estimator(config, hyper, model, state, rollout, acting)
    seen = estimator.transitions(state.policy.parameters, values, initial.log_prob)
    estimates = estimator(seen)
    batch = make_batch(config, hyper, rollout, inputs, values, estimates, initial, acting)
    sound = _assertions(config, rollout, acting.outputs.state, initial.log_prob, acting.log_prob)
    mu = reference("mu", acting.distribution, actions)
    anchor = reference("anchor", initial.distribution, actions, mu) if config.lag else mu

    weighting = None
    if config.algo.surrogate == "weighted":
        weighting = Weighting(config, hyper, seen, batch.advantages, acting.log_prob, rollout.counted)
        judged = weighting(initial.log_prob)
    else:
        judged = batch.advantages if config.algo.normalize_advantage == "none" else whiten(batch.advantages)
    surrogate = SURROGATES[config.algo.surrogate](initial.log_prob, batch.log_anchor, judged, hyper)
    by_log_prob = batch.weighted(surrogate.slope) / config.batch_size
    for_output, for_free = initial.distribution.pullback(actions, by_log_prob, None)
    gradient = model.network.policy_gradient(state.policy.parameters, inputs, for_output, for_free)

    def estimate(parameters: Tensor) -> tuple[Tensor, Tensor]:
        now = model.distribution(parameters, inputs)
        predicted = model.network.value(parameters, inputs)
        return estimator(estimator.transitions(parameters, predicted, now.log_prob(actions)))

    by_behaviour = config.algo.anchor == "behaviour"
    measure = EpochMeasure(configs, model, inputs, actions, mu, mu if by_behaviour else anchor)
    beta = coefficients(configs, done, state.coefficient)
    remembered = config.algo.auxiliary_every * config.batch_size
    step = Step(
        configs,
        hyper,
        model,
        state.policy.parameters,
        state.optimiser,
        batch,
        judged,
        weighting,
        Held((acting if by_behaviour else initial).outputs.free, beta.float().unsqueeze(-1)),
        lambda epoch: permutation(seeds, done, epoch, config.batch_size),
        estimate,
        measure,
        Memory(
            state.phases,
            done,
            observations,
            lambda raw: model.encode(state.policy, raw),
            lambda epoch: permutation(seeds, done, epoch, remembered, "auxiliary"),
        ),
    )
    improvement = (rule or STEP_RULES[config.algo.step_rule])(step)
    learned = time.perf_counter()

    before = _Before(hyper, batch, values, actions, judged, mu, anchor, state.policy.parameters, gradient)
    policy = measure.policy(improvement.parameters, improvement.unseen)
    figures = _figures(configs, before, improvement, policy)
    if weighting is not None:
        moved = policy.log_prob(actions)
        gained = batch.weighted(weighting.gain(anchor.log_prob, moved)).mean(-1)
        figures |= weighting.figures(moved) | {"update/gain_realised": gained}
    if config.algo.penalty != "none":
        figures["update/beta"] = beta
    if adapts(config):
        figures["update/beta_bound"] = at_bound(configs, state.coefficient)
    observed, returned, carried = advanced_statistics(config, hyper, model, state, rollout)
    sound["the loss is not finite"] = improvement.losses.total.isfinite().all(0)
    sound["a parameter is not finite"] = improvement.parameters.isfinite().all(-1)
    both_ways = figures["behaviour/kl_mu_pi"] + figures["behaviour/kl_pi_mu"]
    sound["an exact KL is negative or not finite"] = both_ways.isfinite()
    spread = torch.cat((observed.variance, returned.variance), -1)
    sound["a running statistic is not finite"] = spread.isfinite().all(-1)
    after = TrainState(
        policy=Snapshot(improvement.parameters, observed),
        optimiser=improvement.optimiser,
        reward_moments=returned,
        discounted=carried,
        coefficient=adapted(configs, state.coefficient, figures[spent(config)]),
        queue=pushed(state.queue, state.policy),
        phases=state.phases if improvement.phases is None else improvement.phases,
        update=state.update + 1,
    )
    finished = time.perf_counter()
    seconds = {
        "time/learn": learned - started - measure.seconds,
        "time/health": finished - learned + measure.seconds,
    }
    return Update(after, batch, figures, measure.figures(improvement.epochs), sound, seconds)


def _policy(model: Model, outputs: Outputs, actions: Tensor) -> Policy:
    distribution = model.family.distribution(*outputs)
    return Policy(outputs, distribution, distribution.log_prob(actions))


class _Before(NamedTuple):
    """What figures compare an update's end with."""

    hyper: Hyperparameters
    batch: Batch
    values: Tensor
    """[R, B]: V."""
    actions: Tensor
    judged: Tensor
    """[R, B]: advantages as the whole batch's objective is judged by."""
    mu: Reference
    anchor: Reference
    parameters: Tensor
    """[R, P]."""
    gradient: Tensor
    """[R, P]: of the whole batch's objective."""


def _figures(
    configs: Sequence[RunConfig], before: _Before, improvement: Improvement, policy: Distribution
) -> dict[str, Tensor]:
    """Every figure of an update, each [R] float64; `policy` is the new one, in float64."""
    config = configs[0]
    hyper, batch, actions, judged = before.hyper, before.batch, before.actions, before.judged
    clip = hyper.clip if config.algo.surrogate == "clipped" else None
    figures = health_figures("behaviour", before.mu, policy, actions, judged, clip)
    if config.lag:
        figures |= health_figures("update", before.anchor, policy, actions, judged, clip)
    else:
        figures |= {as_update(name): value for name, value in figures.items()}
    figures |= step_figures(configs, hyper, batch, before.values, improvement, figures[spent(config)])
    figures |= improvement.figures
    held_to = before.mu if config.algo.anchor == "behaviour" else before.anchor
    log_probs = held_to.log_prob, before.anchor.log_prob, policy.log_prob(actions)
    move = (improvement.parameters - before.parameters).double()
    figures["update/entropy"] = policy.entropy().mean(-1)
    figures["update/gain_predicted"] = (before.gradient.double() * move).sum(-1)
    if config.algo.surrogate != "weighted":
        figures["update/gain_realised"] = _gain(config, hyper, batch, judged, *log_probs)
    return figures


def _gain(
    config: RunConfig,
    hyper: Hyperparameters,
    batch: Batch,
    advantages: Tensor,
    base: Tensor,
    before: Tensor,
    after: Tensor,
) -> Tensor:
    """By how much the whole batch's objective, without entropy and value terms, grew in the update, [R].

    Log-probabilities [R, B]: `base` of the policy ratios are taken to, `before` and `after` of the learner's.
    """
    objective = SURROGATES[config.algo.surrogate]
    first, last = (objective(log_prob, base, advantages, hyper).value for log_prob in (before, after))
    return batch.weighted(last - first).mean(-1)


def _assertions(
    config: RunConfig, rollout: Rollout, outputs: Tensor, log_initial: Tensor, log_acting: Tensor
) -> dict[str, Tensor]:
    """What must hold before the first step, each [R]: the policy that acted is the one ratios divide by."""
    error = acting_error(rollout.outputs, outputs)
    sound = {"the policy acted otherwise than the batch recomputes it": error <= ACTING_TOLERANCE}
    if config.lag == 0:
        log_ratio = (log_initial - log_acting).double()
        # Elsewhere than on the CPU, products that are stacked otherwise may round otherwise.
        allowed = 0.0 if config.device == "cpu" else ACTING_TOLERANCE
        one = (log_ratio.abs() <= allowed).all(-1)
        one &= effective_sample_size(log_ratio) >= 1.0 - allowed
        sound["the ratio before the first step is not 1"] = one | ~log_ratio.isfinite().all(-1)
    return sound
