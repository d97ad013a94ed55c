"""The step rule of stochastic gradients: epochs over a batch, minibatch by minibatch, for R runs at once.

Shapes: R runs, B samples of a batch, M minibatches an epoch, b = B / M, S gradient steps, P parameters.
A run that stops early is frozen with `where`; the others' numbers do not change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rlcli.config.schema import AlgoConfig, RunConfig
from rlcli.learner.batch import Batch
from rlcli.learner.hyperparameters import Hyperparameters, stops_early
from rlcli.learner.optimisers import OPTIMISERS, clip_by_norm_
from rlcli.learner.step import Improvement, Losses, Step
from rlcli.learner.table import SURROGATES
from rlcli.maths.distribution import Distribution
from rlcli.maths.draws import generator
from rlcli.maths.estimators import whiten
from rlcli.maths.products import times
from rlcli.maths.surrogates import Loss, clipped_value_loss, value_loss
from rlcli.nets.mlp import Heads
from rlcli.nets.policy import Outputs

K3_FACTOR = 1.5
"""`target_kl_rule=minibatch_k3` stops beyond this multiple of target_kl, as Stable-Baselines3 does."""


class _Samples(NamedTuple):
    """What one gradient step computes of each sample of its minibatch, [R, b]."""

    log_ratio: Tensor
    """log(pi/anchor)."""
    objective: Tensor
    error: Tensor
    entropy: Tensor


def sgd(step: Step) -> Improvement:
    """`epochs` passes over the batch, policy and value function together."""
    config = step.configs[0]
    algo, hyper = config.algo, step.hyper
    gradient = _Gradient(step)
    planned = algo.epochs * algo.minibatches
    rule = OPTIMISERS[algo.optimiser](step.parameters, step.optimiser, hyper, planned)
    parts = step.model.network.unflatten(rule.parameters)
    stops = stops_early(step.configs)
    stops_by_k3 = stops and algo.target_kl_rule == "minibatch_k3"
    target_kl = hyper.target_kl.squeeze(-1)
    active = torch.ones(len(rule.parameters), dtype=torch.bool, device=rule.parameters.device)
    batch = step.batch
    samples, norms, taken, epochs = [], [], [], []
    said: list[tuple[Outputs, Outputs]] = []
    for epoch in range(algo.epochs):
        if stops and not active.any():
            break
        epochs.append(active)
        if epoch > 0 and algo.recompute == "epoch":
            advantages, targets = step.estimate(rule.parameters)
            batch = batch._replace(advantages=advantages, targets=targets)
        for minibatch in minibatches(config, batch, step.permutations, epoch):
            gradients, seen = gradient(parts, minibatch)
            if stops_by_k3:
                k3 = (torch.expm1(seen.log_ratio) - seen.log_ratio).mean(-1)
                active = active & (k3 <= K3_FACTOR * target_kl)
            gradients, norm = clip_by_norm_(gradients, hyper.max_grad_norm)
            rule.step(gradients, active if stops else None)
            samples.append(seen)
            said += gradient.held
            norms.append(norm)
            taken.append(active)
        exact = step.after_epoch(rule.parameters)
        if exact is not None:
            active = active & (exact <= target_kl.double())
    stacked = _Samples(*(torch.stack(each) for each in zip(*samples, strict=True)))
    gradient_norms = torch.stack(norms)
    losses = _losses(hyper, stacked, _penalties(step, said) if said else torch.zeros_like(gradient_norms))
    return Improvement(rule.parameters, rule.state(), losses, gradient_norms, torch.stack(taken), epochs, {})


def value_error(algo: AlgoConfig, values: Tensor, minibatch: Batch) -> Loss:
    """The value loss of each sample [R, b], clipped around V before the update if so configured."""
    if minibatch.values is None or algo.value_clip is None:
        return value_loss(values, minibatch.targets)
    return clipped_value_loss(values, minibatch.targets, minibatch.values, algo.value_clip)


def permutation(
    seeds: Sequence[int], updates: Sequence[int], epoch: int, samples: int, stream: str = "permutation"
) -> Tensor:
    """Each run's order of its samples in one epoch, [R, B]."""
    draws = [
        torch.randperm(samples, generator=generator(seed, stream, update, epoch))
        for seed, update in zip(seeds, updates, strict=True)
    ]
    return torch.stack(draws)


class _Gradient:
    """The gradient of the total loss of a minibatch, through the slopes of its parts.

    A network without a value head has no value loss.
    """

    held: Sequence[tuple[Outputs, Outputs]] = ()
    """What anchor and policy said of the last minibatch, where a penalty holds them together."""

    def __init__(self, step: Step) -> None:
        self._algo = step.configs[0].algo
        self._hyper, self._model, self._held = step.hyper, step.model, step.held
        self._weighting = step.weighting
        self._rewards_entropy = any(config.algo.entropy_coef for config in step.configs)

    def __call__(self, parts: dict[str, Tensor], minibatch: Batch) -> tuple[Tensor, _Samples]:
        """The gradient [R, P] and what was computed of each sample."""
        scale = 1.0 / minibatch.targets.shape[-1] if self._algo.loss_reduction == "mean" else 1.0
        heads, tape = self._model.network.forward(parts, minibatch.inputs)
        policy = self._model.family.distribution(heads.output, heads.free)
        log_prob = policy.log_prob(minibatch.actions)
        advantages, ascended = minibatch.advantages, None
        if self._weighting is not None:
            advantages, ascended = self._weighting.ascent(log_prob)
        surrogate = SURROGATES[self._algo.surrogate](log_prob, minibatch.log_anchor, advantages, self._hyper)
        error, by_value = torch.zeros_like(log_prob), heads.value
        if self._model.network.valued:
            error, slope = value_error(self._algo, heads.value, minibatch)
            by_value = self._hyper.value_coef * slope * scale
        by_log_prob = minibatch.weighted(surrogate.slope) * -scale
        by_entropy = None
        if self._rewards_entropy:
            by_entropy = (self._hyper.entropy_coef * -scale).expand_as(by_log_prob)
        for_output, for_free = policy.pullback(minibatch.actions, by_log_prob, by_entropy)
        if minibatch.anchor_outputs is not None:
            pulled_output, pulled_free = self._penalty(policy, minibatch.anchor_outputs, scale)
            # The free parameters are a view of what the optimiser changes in place.
            anchor = Outputs(minibatch.anchor_outputs, self._held.free)
            self.held = [(anchor, Outputs(heads.output, heads.free.clone()))]
            for_output, for_free = for_output + pulled_output, for_free + pulled_free
        gradient = self._model.network.backward(tape, Heads(for_output, for_free, by_value))
        log_ratio = log_prob - minibatch.log_anchor
        objective = minibatch.weighted(surrogate.value if ascended is None else ascended.float())
        return gradient, _Samples(log_ratio, objective, error, policy.entropy())

    def _penalty(self, policy: Distribution, anchor_outputs: Tensor, scale: float) -> tuple[Tensor, Tensor]:
        """The gradient of beta times the mean exact KL."""
        anchor = self._model.family.distribution(anchor_outputs, self._held.free)
        by_kl = (self._held.beta * scale).expand(anchor_outputs.shape[:2])
        if self._algo.penalty == "kl_anchor_pi":
            return policy.pullback_kl_from(anchor, by_kl)
        return policy.pullback_kl_to(anchor, by_kl)


def _penalties(step: Step, said: Sequence[tuple[Outputs, Outputs]]) -> Tensor:
    """beta times the mean exact KL of each gradient step [S, R]: of all at once, as none is needed before."""
    anchor, policy = (
        step.model.family.distribution(*(torch.stack(part) for part in zip(*each, strict=True)))
        for each in zip(*said, strict=True)
    )
    forward = step.configs[0].algo.penalty == "kl_anchor_pi"
    kl = anchor.kl(policy) if forward else policy.kl(anchor)
    return (step.held.beta * kl).mean(-1)


def _losses(hyper: Hyperparameters, samples: _Samples, penalty: Tensor) -> Losses:
    """Means over minibatches of what was seen, [S, R]; the total as its gradient was taken."""
    policy, value, entropy = -samples.objective.mean(-1), samples.error.mean(-1), samples.entropy.mean(-1)
    weighed = times(value, hyper.value_coef.squeeze(-1))
    total = policy + weighed - times(entropy, hyper.entropy_coef.squeeze(-1)) + penalty
    return Losses(policy, value, entropy, penalty, total)


def minibatches(
    config: RunConfig, batch: Batch, permutations: Callable[[int], Tensor], epoch: int
) -> list[Batch]:
    """The batch in M parts [R, b, ...], each contiguous, advantages whitened as configured."""
    algo = config.algo
    parts = algo.minibatches
    if algo.normalize_advantage == "batch":
        batch = batch._replace(advantages=whiten(batch.advantages))
    if parts == 1:
        shuffled = batch.map(lambda field: field.unsqueeze(0))
    else:
        shuffled = batch.map(shuffle(permutations(epoch).to(batch.inputs.device), parts))
    if algo.normalize_advantage == "minibatch":
        shuffled = shuffled._replace(advantages=whiten(shuffled.advantages))
    fields = ([None] * parts if field is None else field.unbind(0) for field in shuffled)
    return [Batch(*each) for each in zip(*fields, strict=True)]


def shuffle(order: Tensor, parts: int) -> Callable[[Tensor], Tensor]:
    """Fields [R, B, ...] -> [M, R, b, ...] with each run's samples in its own order [R, B]."""
    runs, samples = order.shape
    rows = order + samples * torch.arange(runs, device=order.device).unsqueeze(1)
    index = rows.view(runs, parts, -1).transpose(0, 1)
    flat = index.flatten()
    return lambda field: field.flatten(0, 1).index_select(0, flat).view(*index.shape, *field.shape[2:])
