"""The step rule of stochastic gradients: epochs over a batch, minibatch by minibatch, for R runs at once.

Shapes: R runs, B samples of a batch, M minibatches of an epoch, b = B / M, S gradient steps, P parameters,
Q those of the part that moves. A run that stops early is frozen with `where`; the others' numbers do not
change.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rlcli.learner.algorithm import Improvement, Losses, Start
from rlcli.learner.batch import Batch
from rlcli.learner.draws import shuffle, shuffle_sequences
from rlcli.learner.hyperparameters import Hyperparameters, stops_early
from rlcli.learner.optimisers import clip_by_norm_
from rlcli.learner.penalty import PenaltyTerm
from rlcli.maths.estimators import whiten
from rlcli.maths.products import times
from rlcli.maths.surrogates import Loss, clipped_value_loss, value_loss
from rlcli.nets.network import ACTOR, ALL, Heads, in_order
from rlcli.nets.policy import Model, Outputs

K3_FACTOR = 1.5
"""`target_kl_rule=minibatch_k3` stops beyond this multiple of target_kl, as Stable-Baselines3 does."""


class _Samples(NamedTuple):
    """Figures of each sample of one gradient step's minibatch, [R, b]."""

    log_ratio: Tensor
    """log(pi/anchor)."""
    objective: Tensor
    error: Tensor
    entropy: Tensor


def sgd(start: Start, part: str = ALL) -> Improvement:
    """`epochs` passes over the batch: policy and value function together, or the actor's part alone."""
    algorithm, algo = start.algorithm, start.configs[0].algo
    descent = algorithm.operations.descent(start, part)
    stops = stops_early(start.configs)
    target_kl = start.hyper.target_kl.squeeze(-1)
    active = torch.ones(len(descent.parameters), dtype=torch.bool, device=descent.parameters.device)
    batch, epochs = start.batch, []
    for epoch in range(algo.epochs):
        if stops and not active.any():
            break
        epochs.append(active)
        if epoch > 0 and algorithm.recomputes:
            advantages, targets = start.estimate(descent.parameters)
            batch = batch._replace(advantages=advantages, targets=targets)
        active = descent.epoch(batch, epoch, active)
        exact = start.after_epoch(descent.parameters)
        if exact is not None:
            active = active & (exact <= target_kl.double())
    return descent.improvement(epochs)


class TorchDescent:
    """Gradient steps in torch, all runs at once."""

    def __init__(self, start: Start, part: str) -> None:
        algorithm, algo, network = start.algorithm, start.configs[0].algo, start.model.network
        planned = algo.epochs * algo.minibatches
        self._start, self._part = start, part
        self._gradient = _Gradient(start, part)
        self._rule = algorithm.optimiser(
            start.parameters, start.optimiser, start.hyper, planned, network.parts[part]
        )
        self._stops = stops_early(start.configs)
        self._steps: list[_Samples] = []
        self._norms: list[Tensor] = []
        self._accepted: list[Tensor] = []

    @property
    def parameters(self) -> Tensor:
        """[R, P]."""
        return self._rule.parameters

    def epoch(self, batch: Batch, number: int, active: Tensor) -> Tensor:
        """See `Descent`."""
        start, network, rule = self._start, self._start.model.network, self._rule
        hyper, by_k3 = start.hyper, self._stops and not start.algorithm.stops_by_epoch
        for minibatch in minibatches(start, batch, number):
            gradients, samples = self._gradient(rule.parameters, minibatch)
            if by_k3:
                k3 = (torch.expm1(samples.log_ratio) - samples.log_ratio).mean(-1)
                active = active & (k3 <= K3_FACTOR * hyper.target_kl.squeeze(-1))
            summed = in_order(network, gradients) if self._part == ALL else None
            gradients, norm = clip_by_norm_(gradients, hyper.max_grad_norm, summed)
            rule.step(gradients, active if self._stops else None)
            self._steps.append(samples)
            self._norms.append(norm)
            self._accepted.append(active)
        return active

    def improvement(self, epochs: list[Tensor]) -> Improvement:
        """See `Descent`."""
        norms = torch.stack(self._norms)
        stacked = _Samples(*(torch.stack(each) for each in zip(*self._steps, strict=True)))
        losses = _losses(self._start.hyper, stacked, self._gradient.penalties(torch.zeros_like(norms)))
        rule = self._rule
        return Improvement(
            rule.parameters, rule.state(), losses, norms, torch.stack(self._accepted), epochs, {}
        )


def value_error(clip: float | None, predictions: Tensor, minibatch: Batch) -> Loss:
    """The value loss of each sample [R, b], clipped around the prediction before where there is a `clip`."""
    if minibatch.values is None or clip is None:
        return value_loss(predictions, minibatch.targets)
    return clipped_value_loss(predictions, minibatch.targets, minibatch.values, clip)


class _Gradient:
    """The gradient of the total loss of a minibatch, through the slopes of its terms.

    An actor alone has no value loss.
    """

    def __init__(self, start: Start, part: str) -> None:
        self._algorithm, self._hyper, self._model, self._part = (
            start.algorithm,
            start.hyper,
            start.model,
            part,
        )
        self._penalty = None if start.penalty is None else _PenaltyGradient(start.model, start.penalty)
        self._mask = start.mask
        self._weighting, self._value_clip = start.weighting, start.configs[0].algo.value_clip
        self._rewards_entropy = any(config.algo.entropy_coef for config in start.configs)

    def __call__(self, parameters: Tensor, minibatch: Batch) -> tuple[Tensor, _Samples]:
        """The gradient [R, Q] at `parameters` [R, P], and figures of each sample."""
        scale = 1.0 if self._algorithm.sums_losses else 1.0 / minibatch.targets.shape[-1]
        linear = self._model.network.linearise(
            parameters, minibatch.inputs, minibatch.memory, part=self._part
        )
        heads = linear.heads
        policy = self._model.family.distribution(heads.output, heads.free)
        log_prob = policy.log_prob(minibatch.actions)
        advantages, ascended = minibatch.advantages, None
        if self._weighting is not None:
            advantages, ascended = self._weighting.ascent(log_prob)
        surrogate = self._algorithm.surrogate(log_prob, minibatch.log_anchor, advantages, self._hyper)
        error, by_value = torch.zeros_like(log_prob), heads.value
        if self._part != ACTOR:
            critic, actions = self._model.critic, minibatch.actions
            predictions = critic.predictions(heads.value, actions)
            error, slope = value_error(self._value_clip, predictions, minibatch)
            by_value = critic.pullback(self._hyper.value_coef * slope * scale, heads.value, actions)
        log_ratio, slope_by_log_prob = log_prob - minibatch.log_anchor, surrogate.slope
        if self._mask is not None and minibatch.anchor_outputs is not None:
            dropped = self._mask.dropped(
                self._model.family, minibatch.anchor_outputs, policy, log_ratio, advantages, self._hyper
            )
            slope_by_log_prob = torch.where(dropped, 0.0, slope_by_log_prob)
        by_log_prob = minibatch.weighted(slope_by_log_prob) * -scale
        by_entropy = None
        if self._rewards_entropy:
            by_entropy = (self._hyper.entropy_coef * -scale).expand_as(by_log_prob)
        for_output, for_free = policy.pullback(minibatch.actions, by_log_prob, by_entropy)
        if self._penalty is not None and minibatch.anchor_outputs is not None:
            pulled_output, pulled_free = self._penalty(heads, minibatch.anchor_outputs, scale)
            for_output, for_free = for_output + pulled_output, for_free + pulled_free
        gradient = linear.vjp(Heads(for_output, for_free, by_value))
        objective = minibatch.weighted(surrogate.value if ascended is None else ascended.float())
        return gradient, _Samples(log_ratio, objective, error, policy.entropy())

    def penalties(self, none: Tensor) -> Tensor:
        """beta times the mean exact KL of each gradient step so far, [S, R]; `none` without a penalty."""
        return none if self._penalty is None else self._penalty.values()


class _PenaltyGradient:
    """The gradient of beta times the mean exact KL, step by step; the KLs themselves are left to the end."""

    def __init__(self, model: Model, term: PenaltyTerm) -> None:
        self._family, self._term = model.family, term
        self._steps: list[tuple[Outputs, Outputs]] = []

    def __call__(self, heads: Heads, anchor_outputs: Tensor, scale: float) -> tuple[Tensor, Tensor]:
        """With respect to the policy's outputs and free parameters."""
        term = self._term
        # The free parameters are a view of what the optimiser changes in place.
        policy = Outputs(heads.output, heads.free.clone())
        self._steps.append((Outputs(anchor_outputs, term.anchor_free), policy))
        by_kl = (term.beta * scale).expand(anchor_outputs.shape[:2])
        anchor = term.anchor(self._family, anchor_outputs)
        return term.penalty.pullback(anchor, self._family.distribution(*policy), by_kl)

    def values(self) -> Tensor:
        """[S, R]: of all steps at once, as none is needed before."""
        anchor, policy = (
            self._family.distribution(*(torch.stack(part) for part in zip(*each, strict=True)))
            for each in zip(*self._steps, strict=True)
        )
        return (self._term.beta * self._term.penalty.kl(anchor, policy)).mean(-1)


def _losses(hyper: Hyperparameters, samples: _Samples, penalty: Tensor) -> Losses:
    """Means over minibatches, [S, R]; the total is the one that was differentiated."""
    policy, value, entropy = -samples.objective.mean(-1), samples.error.mean(-1), samples.entropy.mean(-1)
    weighed = times(value, hyper.value_coef.squeeze(-1))
    total = policy + weighed - times(entropy, hyper.entropy_coef.squeeze(-1)) + penalty
    return Losses(policy, value, entropy, penalty, total)


def minibatches(start: Start, batch: Batch, epoch: int) -> Sequence[Batch]:
    """The batch in M parts [R, b, ...], each contiguous, advantages whitened as configured."""
    algorithm, parts = start.algorithm, start.configs[0].algo.minibatches
    if algorithm.whitens_batch:
        batch = batch._replace(advantages=whiten(batch.advantages))
    if parts == 1:
        shuffled = batch.map(lambda field: field.unsqueeze(0))
    else:
        order = start.permutations(epoch).to(batch.inputs.device)
        sequences = None
        if batch.memory is not None:
            sequences = shuffle_sequences(order, parts, batch.memory.state.shape[1])
        shuffled = batch.map(shuffle(order, parts), sequences)
    if algorithm.whitens_minibatches:
        shuffled = shuffled._replace(advantages=whiten(shuffled.advantages))
    return [shuffled.map(lambda field, part=part: field[part]) for part in range(parts)]  # type: ignore[misc]
