"""A rollout as one batch an update learns from: inputs, ratios' denominators, advantages, targets.

Shapes: T time, R runs, N environments of one run, B = T N samples, O observation width.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from rlcli.collect.rollout import Rollout
from rlcli.config.schema import RunConfig
from rlcli.learner.hyperparameters import Hyperparameters
from rlcli.learner.state import TrainState
from rlcli.learner.table import TARGETS
from rlcli.maths.estimators import discounted_returns
from rlcli.nets.observations import CLIP, FLOOR, Moments, advance
from rlcli.nets.policy import Model


class Batch(NamedTuple):
    """What gradient steps read; constants of the update, each [R, B, ...] and contiguous."""

    inputs: Tensor
    """[R, B, O]: encoded observations."""
    actions: Tensor
    """[R, B] or [R, B, A]."""
    advantages: Tensor
    """[R, B], as estimated; whitening comes later."""
    targets: Tensor
    """[R, B]: value targets."""
    values: Tensor
    """[R, B]: V at the start of the update."""
    log_anchor: Tensor
    """[R, B]: log-probability of each action under the anchor."""
    weights: Tensor
    """[R, B]: the constant weight of each sample, min(weight_bar, anchor/μ); 1 at lag 0."""


def by_run(time_major: Tensor) -> Tensor:
    """[T, R, N, ...] -> contiguous [R, T N, ...]."""
    return time_major.transpose(0, 1).flatten(1, 2).contiguous()


def by_time(batch: Tensor, rollout_steps: int) -> Tensor:
    """[R, T N] -> [T, R, N]."""
    return batch.view(len(batch), rollout_steps, -1).transpose(0, 1).contiguous()


def advantages_and_targets(
    config: RunConfig,
    hyper: Hyperparameters,
    rollout: Rollout,
    rewards: Tensor,
    values: Tensor,
    next_values: Tensor,
) -> tuple[Tensor, Tensor]:
    """The configured estimator on the critic's current values [R, B]; both results [R, B]."""
    steps = config.algo.rollout_steps
    estimate = TARGETS[config.algo.targets]
    advantages, targets = estimate(
        rewards,
        by_time(values, steps),
        by_time(next_values, steps),
        rollout.terminated,
        rollout.truncated,
        hyper,
    )
    return by_run(advantages), by_run(targets)


def scaled_rewards(config: RunConfig, moments: Moments, rewards: Tensor) -> Tensor:
    """Rewards [T, R, N] as float32; divided by the running deviation of the return if so configured."""
    if not config.env.normalize_reward:
        return rewards.float()
    scale = (moments.variance + FLOOR).sqrt()
    return (rewards / scale).clamp(-CLIP, CLIP).float()


def advanced_statistics(
    config: RunConfig, hyper: Hyperparameters, model: Model, state: TrainState, rollout: Rollout
) -> tuple[Moments, Moments, Tensor]:
    """Observation and reward statistics and the return accumulators after this rollout's raw data."""
    observed, returned, carried = state.policy.moments, state.reward_moments, state.discounted
    if model.encoder.normalize:
        observed = advance(observed, model.encoder.rows(by_run(rollout.observations)))
    if config.env.normalize_reward:
        ended = rollout.terminated | rollout.truncated
        totals, carried = discounted_returns(rollout.rewards, ended, hyper.gamma.double(), carried)
        returned = advance(returned, by_run(totals).unsqueeze(-1))
    return observed, returned, carried


def acting_error(acted: Tensor, recomputed: Tensor) -> Tensor:
    """The largest relative difference [R] of outputs while acting [T, R, N, D] and in the batch [R, B, D]."""
    difference = (by_run(acted) - recomputed).abs() / (1.0 + recomputed.abs())
    return difference.flatten(1).amax(-1)


def make_batch(
    config: RunConfig,
    hyper: Hyperparameters,
    model: Model,
    state: TrainState,
    rollout: Rollout,
    inputs: Tensor,
    values: Tensor,
    log_initial: Tensor,
    log_acting: Tensor,
) -> Batch:
    """The batch of one update, from V and log-probabilities [R, B] at its start and while acting."""
    next_inputs = model.encode(state.policy, by_run(rollout.next_observations))
    next_values = model.network.value(state.policy.parameters, next_inputs)
    rewards = scaled_rewards(config, state.reward_moments, rollout.rewards)
    advantages, targets = advantages_and_targets(config, hyper, rollout, rewards, values, next_values)
    by_behaviour = config.algo.anchor == "behaviour"
    log_anchor = log_acting if by_behaviour else log_initial
    weights = torch.ones_like(advantages)
    if config.lag and not by_behaviour:
        correction = (log_initial - log_acting).exp()
        weights = torch.where(correction > hyper.weight_bar, hyper.weight_bar, correction)
    return Batch(inputs, by_run(rollout.actions), advantages, targets, values, log_anchor, weights)
