"""A rollout as one batch an update learns from: inputs, ratios' denominators, advantages, targets.

Shapes: T time, R runs, N environments of one run, B = T N samples, O observation width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from rlcli.collect.rollout import Rollout
from rlcli.config.schema import RunConfig
from rlcli.learner.hyperparameters import Hyperparameters
from rlcli.learner.state import TrainState
from rlcli.learner.table import TARGETS, Transitions
from rlcli.maths.distribution import Distribution
from rlcli.maths.estimators import discounted_returns
from rlcli.nets.observations import CLIP, FLOOR, Moments, advance
from rlcli.nets.policy import Model, Outputs


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
    log_anchor: Tensor
    """[R, B]: log-probability of each action under the anchor."""
    values: Tensor | None = None
    """[R, B]: V at the start of the update, where the value loss is clipped around it."""
    weights: Tensor | None = None
    """[R, B]: the constant weight of each sample, min(weight_bar, anchor/μ); None: 1, as at lag 0."""
    anchor_outputs: Tensor | None = None
    """[R, B, D]: the policy head's outputs under the anchor, where a penalty holds the policy to it."""

    def map(self, function: Callable[[Tensor], Tensor]) -> Batch:
        """The batch with `function` applied to every field there is."""
        return Batch(*(None if field is None else function(field) for field in self))  # type: ignore[arg-type]

    def weighted(self, samples: Tensor) -> Tensor:
        """Samples [R, B] times their constant weights."""
        return samples if self.weights is None else self.weights * samples


class Policy(NamedTuple):
    """A policy on the states and actions of a rollout."""

    outputs: Outputs
    distribution: Distribution
    log_prob: Tensor
    """[R, B]: of the actions taken."""


def by_run(time_major: Tensor) -> Tensor:
    """[T, R, N, ...] -> contiguous [R, T N, ...]."""
    return time_major.transpose(0, 1).flatten(1, 2).contiguous()


def by_time(batch: Tensor, rollout_steps: int) -> Tensor:
    """[R, T N] -> [T, R, N]."""
    return batch.view(len(batch), rollout_steps, -1).transpose(0, 1).contiguous()


class Estimator:
    """Advantages and value targets of a rollout under the critic and policy of any moment of its update."""

    def __init__(
        self,
        config: RunConfig,
        hyper: Hyperparameters,
        model: Model,
        state: TrainState,
        rollout: Rollout,
        acting: Policy,
    ) -> None:
        self._algo, self._hyper, self._model, self._rollout = config.algo, hyper, model, rollout
        self._next_inputs = model.encode(state.policy, by_run(rollout.next_observations))
        self._rewards = scaled_rewards(config, state.reward_moments, rollout.rewards)
        self._log_acting = acting.log_prob

    def transitions(self, parameters: Tensor, values: Tensor, log_prob: Tensor) -> Transitions:
        """What is known with V and log-probabilities of the actions [R, B] under `parameters` [R, P]."""
        rollout = self._rollout
        next_values = self._model.network.value(parameters, self._next_inputs)
        return Transitions(
            self._rewards,
            self._by_time(values),
            self._by_time(next_values),
            rollout.terminated,
            rollout.truncated,
            self._by_time(log_prob - self._log_acting),
        )

    def __call__(self, seen: Transitions) -> tuple[Tensor, Tensor]:
        """Advantages and value targets, both [R, B]."""
        advantages, targets = TARGETS[self._algo.targets](self._algo, self._hyper, seen)
        return by_run(advantages), by_run(targets)

    def _by_time(self, batch: Tensor) -> Tensor:
        return by_time(batch, self._algo.rollout_steps)


def scaled_rewards(config: RunConfig, moments: Moments, rewards: Tensor) -> Tensor:
    """Rewards [T, R, N] as float32; clipped, or divided by the running deviation of the return, as asked."""
    if config.algo.reward_clip is not None:
        rewards = rewards.clamp(-config.algo.reward_clip, config.algo.reward_clip)
    if config.env.normalize_reward:
        rewards = (rewards / (moments.variance + FLOOR).sqrt()).clamp(-CLIP, CLIP)
    return rewards.float()


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
    rollout: Rollout,
    inputs: Tensor,
    values: Tensor,
    estimates: tuple[Tensor, Tensor],
    initial: Policy,
    acting: Policy,
) -> Batch:
    """The batch of one update, from V [R, B], estimates, and the policies at its start and while acting."""
    advantages, targets = estimates
    algo = config.algo
    anchor = acting if algo.anchor == "behaviour" else initial
    return Batch(
        inputs,
        by_run(rollout.actions),
        advantages,
        targets,
        anchor.log_prob,
        values=None if algo.value_clip is None else values,
        weights=_weights(hyper, initial, acting) if config.lag and algo.anchor == "update" else None,
        anchor_outputs=None if algo.penalty == "none" else anchor.outputs.state,
    )


def _weights(hyper: Hyperparameters, initial: Policy, acting: Policy) -> Tensor:
    """min(weight_bar, anchor/μ), what a sample of μ counts for the anchor (Hilton et al. 2021)."""
    correction = (initial.log_prob - acting.log_prob).exp()
    return torch.where(correction > hyper.weight_bar, hyper.weight_bar, correction)
