"""The step rule of stochastic gradients: epochs over a batch, minibatch by minibatch, for R runs at once.

Shapes: R runs, B samples of a batch, M minibatches an epoch, b = B / M, S gradient steps, P parameters.
A run that stops early is frozen with `where`; the others' numbers do not change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rlcli.config.schema import RunConfig
from rlcli.learner.adam import Adam, clip_by_norm
from rlcli.learner.batch import Batch
from rlcli.learner.hyperparameters import Hyperparameters, stops_early
from rlcli.learner.state import AdamState
from rlcli.learner.table import SURROGATES
from rlcli.maths.draws import generator
from rlcli.maths.estimators import whiten
from rlcli.maths.surrogates import clipped_value_loss, value_loss
from rlcli.nets.mlp import Heads
from rlcli.nets.policy import Model

K3_FACTOR = 1.5
"""`target_kl_rule=minibatch_k3` stops beyond this multiple of target_kl, as Stable-Baselines3 does."""


class Losses(NamedTuple):
    """The losses of S gradient steps, each [S, R]."""

    policy: Tensor
    value: Tensor
    entropy: Tensor
    total: Tensor


class Improvement(NamedTuple):
    """What an update's gradient steps came to."""

    parameters: Tensor
    """[R, P]."""
    optimiser: AdamState
    losses: Losses
    gradient_norms: Tensor
    """[S, R], before clipping."""
    taken: Tensor
    """[S, R]: whether the run took the step."""
    epochs: list[Tensor]
    """For each epoch the mask [R] of runs that were active when it began."""


class _Samples(NamedTuple):
    """What one gradient step computes of each sample of its minibatch, [R, b]."""

    log_ratio: Tensor
    """log(pi/anchor)."""
    objective: Tensor
    error: Tensor
    entropy: Tensor


AfterEpoch = Callable[[Tensor], Tensor | None]
"""(parameters [R, P] after an epoch) -> exact mean KL(anchor||pi) [R] where the stopping rule needs it."""


def improve(
    configs: Sequence[RunConfig],
    hyper: Hyperparameters,
    model: Model,
    parameters: Tensor,
    optimiser: AdamState,
    batch: Batch,
    permutations: Callable[[int], Tensor],
    after_epoch: AfterEpoch,
) -> Improvement:
    """`epochs` passes over the batch; `permutations(epoch)` orders its samples, [R, B]."""
    config = configs[0]
    algo = config.algo
    rewards_entropy = any(one.algo.entropy_coef for one in configs)
    adam = Adam(parameters, optimiser, hyper, algo.epochs * algo.minibatches)
    parts = model.network.unflatten(adam.parameters)
    stops = stops_early(configs)
    stops_by_k3 = stops and algo.target_kl_rule == "minibatch_k3"
    target_kl = hyper.target_kl.squeeze(-1)
    active = torch.ones(parameters.shape[0], dtype=torch.bool, device=parameters.device)
    samples, norms, taken, epochs = [], [], [], []
    for epoch in range(algo.epochs):
        if stops and not active.any():
            break
        epochs.append(active)
        for minibatch in _minibatches(config, batch, permutations, epoch):
            gradients, seen = _gradient(config, hyper, model, parts, minibatch, rewards_entropy)
            if stops_by_k3:
                k3 = (torch.expm1(seen.log_ratio) - seen.log_ratio).mean(-1)
                active = active & (k3 <= K3_FACTOR * target_kl)
            gradients, norm = clip_by_norm(gradients, hyper.max_grad_norm)
            adam.step(gradients, active if stops else None)
            samples.append(seen)
            norms.append(norm)
            taken.append(active)
        exact = after_epoch(adam.parameters)
        if exact is not None:
            active = active & (exact <= target_kl.double())
    losses = _losses(hyper, _Samples(*(torch.stack(each) for each in zip(*samples, strict=True))))
    return Improvement(adam.parameters, adam.state(), losses, torch.stack(norms), torch.stack(taken), epochs)


def permutation(seeds: Sequence[int], updates: Sequence[int], epoch: int, samples: int) -> Tensor:
    """Each run's order of the batch in one epoch, [R, B]."""
    draws = [
        torch.randperm(samples, generator=generator(seed, "permutation", update, epoch))
        for seed, update in zip(seeds, updates, strict=True)
    ]
    return torch.stack(draws)


def _gradient(
    config: RunConfig,
    hyper: Hyperparameters,
    model: Model,
    parts: dict[str, Tensor],
    minibatch: Batch,
    rewards_entropy: bool,
) -> tuple[Tensor, _Samples]:
    """The gradient [R, P] of the total loss of one minibatch, through the slopes of its parts."""
    algo = config.algo
    scale = 1.0 / minibatch.targets.shape[-1]
    heads, tape = model.network.forward(parts, minibatch.inputs)
    distribution = model.family.distribution(heads.output, heads.free)
    log_ratio = distribution.log_prob(minibatch.actions) - minibatch.log_anchor
    surrogate = SURROGATES[algo.surrogate](log_ratio.exp(), minibatch.advantages, hyper)
    if algo.value_clip is None:
        error = value_loss(heads.value, minibatch.targets)
    else:
        error = clipped_value_loss(heads.value, minibatch.targets, minibatch.values, algo.value_clip)
    by_log_prob = minibatch.weights * surrogate.slope * -scale
    by_entropy = (hyper.entropy_coef * -scale).expand_as(by_log_prob) if rewards_entropy else None
    for_output, for_free = distribution.pullback(minibatch.actions, by_log_prob, by_entropy)
    by_value = hyper.value_coef * error.slope * scale
    gradient = model.network.backward(tape, Heads(for_output, for_free, by_value))
    seen = _Samples(log_ratio, minibatch.weights * surrogate.value, error.value, distribution.entropy())
    return gradient, seen


def _losses(hyper: Hyperparameters, samples: _Samples) -> Losses:
    """Means over minibatches of what was seen, [S, R]; the total as its gradient was taken."""
    policy, value, entropy = -samples.objective.mean(-1), samples.error.mean(-1), samples.entropy.mean(-1)
    total = policy + hyper.value_coef.squeeze(-1) * value - hyper.entropy_coef.squeeze(-1) * entropy
    return Losses(policy, value, entropy, total)


def _minibatches(
    config: RunConfig, batch: Batch, permutations: Callable[[int], Tensor], epoch: int
) -> list[Batch]:
    """The batch in M parts [R, b, ...], each contiguous, advantages whitened as configured."""
    algo = config.algo
    parts = algo.minibatches
    if algo.normalize_advantage == "batch":
        batch = batch._replace(advantages=whiten(batch.advantages))
    if parts == 1:
        shuffled = Batch(*(field.unsqueeze(0) for field in batch))
    else:
        shuffled = _shuffle(batch, permutations(epoch), parts)
    if algo.normalize_advantage == "minibatch":
        shuffled = shuffled._replace(advantages=whiten(shuffled.advantages))
    return [Batch(*fields) for fields in zip(*(field.unbind(0) for field in shuffled), strict=True)]


def _shuffle(batch: Batch, order: Tensor, parts: int) -> Batch:
    """The fields as [M, R, b, ...] with each run's samples in its own order [R, B]."""
    runs, samples = order.shape
    device = batch.inputs.device
    rows = order.to(device) + samples * torch.arange(runs, device=device).unsqueeze(1)
    index = rows.view(runs, parts, -1).transpose(0, 1)
    flat = index.flatten()
    return Batch(
        *(field.flatten(0, 1).index_select(0, flat).view(*index.shape, *field.shape[2:]) for field in batch)
    )
