"""The start of an update: anchor, estimates, batch, and assertions before the first step.

Shapes: T time, R runs, N environments of one run, B = T N samples, D policy outputs, P parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rlcli.catalog import assertions
from rlcli.collect.rollout import Rollout
from rlcli.config.schema.run import RunConfig
from rlcli.learner.acting import acting_outputs
from rlcli.learner.algorithm import Algorithm, PhaseInputs, Start
from rlcli.learner.batch import Batch, by_run, memory_of
from rlcli.learner.comparison import ACTING_TOLERANCE, Comparison, Measured
from rlcli.learner.draws import PERMUTATION, sequences
from rlcli.learner.epoch_figures import EpochFigures, OnSamples
from rlcli.learner.estimator import Estimator
from rlcli.learner.figures import Reference, reference
from rlcli.learner.hyperparameters import Hyperparameters, hyperparameters
from rlcli.learner.learnt import Learnt, SampledPolicy, reused, sampled
from rlcli.learner.mask import MaskTerm
from rlcli.learner.penalty import PenaltyTerm
from rlcli.learner.rate import adapted_rate
from rlcli.learner.state import TrainState
from rlcli.learner.weighting import Weighting
from rlcli.nets.policy import Model, Outputs


class Prepared(NamedTuple):
    """An update before its step."""

    start: Start
    learnt: Learnt
    mu: Reference
    """On the rollout, as the anchor and all health figures are."""
    anchor: Reference
    """The policy at the start of the update, which is mu at lag 0."""
    on_rollout: OnSamples
    objective_gradient: Tensor | None
    """[R, Q]: of the whole batch's objective, by the actor's part; None: no gain is to be predicted."""
    epochs: EpochFigures
    sound: dict[str, Tensor]
    """Masks [R] of what must hold, by what is reported when it does not."""

    @property
    def initial(self) -> SampledPolicy:
        """The policy at the start of the update, on the batch."""
        return self.learnt.initial

    @property
    def values(self) -> Tensor:
        """[R, B]: V at the start of the update, on the batch."""
        return self.learnt.values

    def on_batch(self, parameters: Tensor) -> Measured:
        """The policy of `parameters` [R, P] on the batch."""
        return self.learnt.on_batch(parameters)

    def of_rollout(self, samples: Tensor) -> Tensor:
        """Of samples [R, B, ...] of the batch those of the rollout itself, [R, T N, ...]."""
        joined = self.learnt.joined
        return samples if joined is None else joined.newest(samples)


def prepare(
    algorithm: Algorithm,
    configs: Sequence[RunConfig],
    seeds: Sequence[int],
    model: Model,
    state: TrainState,
    rollout: Rollout,
) -> Prepared:
    """Everything an update's step starts from; `configs` agree on all but cohort keys."""
    config, done = configs[0], state.update.tolist()
    hyper = hyperparameters(configs, done, config.device)
    if state.rate.shape[1]:
        hyper = adapted_rate(hyper, state.rate)
    observations, actions = by_run(rollout.acted_on), by_run(rollout.actions)
    inputs = model.encode(state.policy, observations)
    memory = memory_of(rollout)
    comparison = algorithm.operations.comparison
    predicts, linear = config.health.gain_predicted, None
    if predicts:
        outputs, head, linear = model.recorded(state.policy.parameters, inputs, memory)
    else:
        outputs, head = model.both_heads(state.policy.parameters, inputs, memory)
    initial = sampled(comparison, model, outputs, actions)
    exact = algorithm.operations.exact_rows
    if config.lag or not (exact or model.network.runs_apart):
        shown = recomputed = acting_outputs(model, state, rollout, config.collect.joined)
    else:  # what they should have been is computed already: the policy at the start
        shown = recomputed = initial.outputs
        if exact:
            shown = Outputs(by_run(rollout.outputs), initial.outputs.free)
    acting = sampled(comparison, model, shown, actions)
    on_rollout = OnSamples(model, inputs, actions, memory, comparison.measured)
    values, predictions = model.criticised(head, initial.distribution, actions)
    learnt = Learnt(rollout, inputs, values, predictions, initial, acting.log_prob, on_rollout)
    if config.algo.reuse > 1:
        learnt = reused(comparison, model, state, rollout)
    estimator = Estimator(algorithm, config, hyper, model, state, learnt)
    transitions = estimator.transitions(
        state.policy.parameters, learnt.values, learnt.predictions, learnt.initial.log_prob
    )
    batch = _batch(algorithm, config, hyper, learnt, estimator(transitions), acting)
    mu = reference("mu", acting.measured)
    anchor = reference("anchor", initial.measured, comparison, mu) if config.lag else mu
    measured = mu if algorithm.from_behaviour else anchor
    epochs = EpochFigures(algorithm, configs, on_rollout, mu, measured)
    weighting = None
    if algorithm.weighting is not None:
        weighting = algorithm.weighting(
            hyper, transitions, batch.advantages, learnt.log_acting, learnt.rollout.counted
        )
    compared = acting if algorithm.from_behaviour else initial
    start = Start(
        algorithm,
        configs,
        hyper,
        model,
        state.policy.parameters,
        state.optimiser,
        batch,
        _objective_advantages(algorithm, batch, weighting, learnt.initial),
        weighting,
        _penalty(algorithm, configs, hyper, state, compared),
        None if algorithm.mask is None else MaskTerm(algorithm.mask, compared.outputs.free),
        _orders(algorithm, config, seeds, done),
        estimator.under,
        epochs,
        _phase_inputs(algorithm, config, seeds, model, state, observations),
    )
    sound = _assertions(comparison, config, rollout, recomputed, acting, initial)
    gradient = None
    if predicts:
        recorded = linear if learnt.joined is None else None
        gradient = algorithm.operations.objective_gradient(start, learnt.initial, recorded)
    return Prepared(start, learnt, mu, anchor, on_rollout, gradient, epochs, sound)


def _batch(
    algorithm: Algorithm,
    config: RunConfig,
    hyper: Hyperparameters,
    learnt: Learnt,
    estimates: tuple[Tensor, Tensor],
    acting: SampledPolicy,
) -> Batch:
    """The samples that gradient steps learn from."""
    advantages, targets = estimates
    rollout, joined = learnt.rollout, learnt.joined
    anchor = acting if algorithm.from_behaviour and joined is None else learnt.initial
    weights = None
    if joined is not None:
        weights = joined.shares
        if algorithm.weighting is None:
            weights = weights * (learnt.initial.log_prob - learnt.log_acting).exp().float()
    elif config.lag and not algorithm.from_behaviour:
        weights = _weights(algorithm.operations.comparison.ratios, hyper, learnt.initial, acting)
    return Batch(
        learnt.inputs,
        by_run(rollout.actions),
        advantages,
        targets,
        anchor.log_prob,
        values=None if config.algo.value_clip is None else learnt.predictions,
        weights=weights,
        anchor_outputs=anchor.outputs.state if algorithm.compares_outputs else None,
        memory=memory_of(rollout),
    )


def _objective_advantages(
    algorithm: Algorithm, batch: Batch, weighting: Weighting | None, initial: SampledPolicy
) -> Tensor:
    """The advantages [R, B] of the whole batch's objective: weighted, whitened or as estimated."""
    if weighting is not None:
        return weighting(initial.log_prob)
    return algorithm.operations.whiten(batch.advantages) if algorithm.whitens else batch.advantages


def _penalty(
    algorithm: Algorithm,
    configs: Sequence[RunConfig],
    hyper: Hyperparameters,
    state: TrainState,
    anchor: SampledPolicy,
) -> PenaltyTerm | None:
    if algorithm.penalty is None:
        return None
    beta = algorithm.penalty.coefficients(configs, state.update.tolist(), hyper, state.coefficient)
    return PenaltyTerm(algorithm.penalty, anchor.outputs.free, beta.float().unsqueeze(-1))


def _orders(
    algorithm: Algorithm, config: RunConfig, seeds: Sequence[int], done: Sequence[int]
) -> Callable[[int], Tensor]:
    """Epoch -> each run's order of its samples, [R, B]."""
    draw = algorithm.operations.permutation
    if algorithm.whole_sequences:
        return lambda epoch: sequences(draw, seeds, done, epoch, config)
    return lambda epoch: draw(seeds, done, epoch, config.learnt_size, PERMUTATION)


def _weights(
    ratios: Callable[[Tensor], Tensor], hyper: Hyperparameters, initial: SampledPolicy, acting: SampledPolicy
) -> Tensor:
    """min(weight_bar, anchor/μ), what a sample of μ counts for the anchor (Hilton et al. 2021)."""
    correction = ratios(initial.log_prob - acting.log_prob)
    return torch.where(correction > hyper.weight_bar, hyper.weight_bar, correction)


def _phase_inputs(
    algorithm: Algorithm,
    config: RunConfig,
    seeds: Sequence[int],
    model: Model,
    state: TrainState,
    observations: Tensor,
) -> PhaseInputs | None:
    if not algorithm.has_phases:
        return None
    done, kept = state.update.tolist(), config.algo.auxiliary_every * config.batch_size
    return PhaseInputs(
        state.phases,
        done,
        observations,
        lambda raw: model.encode(state.policy, raw),
        lambda epoch: algorithm.operations.permutation(seeds, done, epoch, kept, "auxiliary"),
    )


def _assertions(
    comparison: Comparison,
    config: RunConfig,
    rollout: Rollout,
    recomputed: Outputs,
    acting: SampledPolicy,
    initial: SampledPolicy,
) -> dict[str, Tensor]:
    """What must hold before the first step, each [R]: the policy that acted is the one ratios divide by."""
    error = comparison.acting_error(rollout.outputs, recomputed.state)
    sound = {assertions.ACTED: error <= ACTING_TOLERANCE}
    if config.lag == 0:
        equal = comparison.equal(initial.log_prob, acting.log_prob)
        sound[assertions.RATIO] = equal
    return sound
