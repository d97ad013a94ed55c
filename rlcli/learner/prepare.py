"""The start of an update: anchor, estimates, batch, and assertions before the first step.

Shapes: T time, R runs, N environments of one run, B = T N samples, D policy outputs, P parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rlcli.collect.rollout import Rollout
from rlcli.config.schema import RunConfig
from rlcli.learner.algorithm import Algorithm, PhaseInputs, Start
from rlcli.learner.batch import Batch, Transitions, by_run, by_time, memory_of
from rlcli.learner.comparison import ACTING_TOLERANCE, Comparison, Measured
from rlcli.learner.draws import PERMUTATION, sequences
from rlcli.learner.epoch_figures import EpochFigures
from rlcli.learner.figures import Reference, reference
from rlcli.learner.hyperparameters import Hyperparameters, hyperparameters
from rlcli.learner.mask import MaskTerm
from rlcli.learner.penalty import PenaltyTerm
from rlcli.learner.rate import adapted_rate
from rlcli.learner.state import TrainState, behaviour
from rlcli.learner.successors import successors
from rlcli.learner.weighting import Weighting
from rlcli.maths.distribution import Distribution
from rlcli.nets.policy import Model, Outputs


class SampledPolicy(NamedTuple):
    """A policy on the states and actions of a rollout."""

    outputs: Outputs
    distribution: Distribution
    measured: Measured

    @property
    def log_prob(self) -> Tensor:
        """[R, B]: of the actions taken."""
        return self.measured.kept


class Prepared(NamedTuple):
    """An update before its step."""

    start: Start
    values: Tensor
    """[R, B]: V."""
    mu: Reference
    anchor: Reference
    """The policy at the start of the update, which is mu at lag 0."""
    objective_gradient: Tensor
    """[R, Q]: of the whole batch's objective, by the actor's part."""
    epochs: EpochFigures
    sound: dict[str, Tensor]
    """Masks [R] of what must hold, by what is reported when it does not."""


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
    if algorithm.adapts_rate:
        hyper = adapted_rate(hyper, state.rate)
    observations, actions = by_run(rollout.acted_on), by_run(rollout.actions)
    inputs = model.encode(state.policy, observations)
    memory = memory_of(rollout)
    comparison = algorithm.operations.comparison
    outputs, values, linear = model.recorded(state.policy.parameters, inputs, memory)
    initial = sampled(comparison, model, outputs, actions)
    exact = algorithm.operations.exact_rows
    if config.lag or not (exact or model.network.runs_apart):
        shown = recomputed = model.outputs(behaviour(state), observations, memory)
    else:  # what they should have been is computed already: the policy at the start
        shown = recomputed = initial.outputs
        if exact:
            shown = Outputs(by_run(rollout.outputs), initial.outputs.free)
    acting = sampled(comparison, model, shown, actions)
    estimator = Estimator(algorithm, config, hyper, model, state, rollout, inputs, acting)
    transitions = estimator.transitions(state.policy.parameters, values, initial.log_prob)
    batch = _batch(algorithm, config, hyper, inputs, actions, values, estimator(transitions), initial, acting)
    batch = batch._replace(memory=memory)
    mu = reference("mu", acting.measured)
    anchor = reference("anchor", initial.measured, comparison, mu) if config.lag else mu
    measured = mu if algorithm.from_behaviour else anchor
    epochs = EpochFigures(algorithm, configs, model, batch, mu, measured)
    weighting = None
    if algorithm.weighting is not None:
        weighting = algorithm.weighting(
            hyper, transitions, batch.advantages, acting.log_prob, rollout.counted
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
        _objective_advantages(algorithm, batch, weighting, initial),
        weighting,
        _penalty(algorithm, configs, hyper, state, compared),
        None if algorithm.mask is None else MaskTerm(algorithm.mask, compared.outputs.free),
        _orders(algorithm, config, seeds, done),
        estimator.under,
        epochs,
        _phase_inputs(algorithm, config, seeds, model, state, observations),
    )
    sound = _assertions(comparison, config, rollout, recomputed, acting, initial)
    gradient = algorithm.operations.objective_gradient(start, initial, linear)
    return Prepared(start, values, mu, anchor, gradient, epochs, sound)


def sampled(comparison: Comparison, model: Model, outputs: Outputs, actions: Tensor) -> SampledPolicy:
    """The policy of these outputs on the actions [R, B, ...] taken."""
    distribution = model.family.distribution(*outputs)
    return SampledPolicy(outputs, distribution, comparison.measured(distribution, actions))


class Estimator:
    """Advantages and value targets of a rollout under the critic and policy of any moment of its update."""

    def __init__(
        self,
        algorithm: Algorithm,
        config: RunConfig,
        hyper: Hyperparameters,
        model: Model,
        state: TrainState,
        rollout: Rollout,
        inputs: Tensor,
        acting: SampledPolicy,
    ) -> None:
        """`inputs` [R, B, ...] are the encoded observations of the rollout."""
        self._targets, self._hyper, self._model, self._rollout = algorithm.targets, hyper, model, rollout
        self._inputs, self._actions = inputs, by_run(rollout.actions)
        self._memory = memory_of(rollout)
        exact = algorithm.operations.exact_rows
        self._next_values = successors(model, state.policy, rollout, inputs, self._memory, exact)
        self._rewards = algorithm.operations.scaled_rewards(config, state.reward_moments, rollout.rewards)
        self._log_acting = acting.log_prob
        self._measured = algorithm.operations.comparison.measured

    def transitions(self, parameters: Tensor, values: Tensor, log_prob: Tensor) -> Transitions:
        """What is known with V and log-probabilities of the actions [R, B] under `parameters` [R, P]."""
        rollout = self._rollout
        return Transitions(
            self._rewards,
            self._by_time(values),
            self._next_values(parameters, values),
            rollout.terminated,
            rollout.truncated,
            self._by_time(log_prob - self._log_acting),
        )

    def __call__(self, transitions: Transitions) -> tuple[Tensor, Tensor]:
        """Advantages and value targets, both [R, B]."""
        advantages, targets = self._targets(self._hyper, transitions)
        return by_run(advantages), by_run(targets)

    def under(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Advantages and value targets under `parameters` [R, P]."""
        outputs, values = self._model.outputs_and_values(parameters, self._inputs, self._memory)
        policy = self._model.family.distribution(*outputs)
        return self(self.transitions(parameters, values, self._measured(policy, self._actions).kept))

    def _by_time(self, batch: Tensor) -> Tensor:
        return by_time(batch, len(self._rewards))


def _batch(
    algorithm: Algorithm,
    config: RunConfig,
    hyper: Hyperparameters,
    inputs: Tensor,
    actions: Tensor,
    values: Tensor,
    estimates: tuple[Tensor, Tensor],
    initial: SampledPolicy,
    acting: SampledPolicy,
) -> Batch:
    """The samples that gradient steps learn from."""
    advantages, targets = estimates
    anchor = acting if algorithm.from_behaviour else initial
    return Batch(
        inputs,
        actions,
        advantages,
        targets,
        anchor.log_prob,
        values=None if config.algo.value_clip is None else values,
        weights=_weights(algorithm.operations.comparison.ratios, hyper, initial, acting)
        if config.lag and not algorithm.from_behaviour
        else None,
        anchor_outputs=anchor.outputs.state if algorithm.compares_outputs else None,
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
    return lambda epoch: draw(seeds, done, epoch, config.batch_size, PERMUTATION)


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
    sound = {"the policy acted otherwise than the batch recomputes it": error <= ACTING_TOLERANCE}
    if config.lag == 0:
        equal = comparison.equal(initial.log_prob, acting.log_prob)
        sound["the ratio before the first step is not 1"] = equal
    return sound
