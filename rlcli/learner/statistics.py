"""Running statistics of observations (whitening) and of discounted returns (reward scaling).

They are fixed during a rollout and its update, and advance once after it. Shapes: T time, R runs, N
environments of one run.
"""

from __future__ import annotations

from torch import Tensor

from rlcli.collect.rollout import Rollout
from rlcli.config.schema.run import RunConfig
from rlcli.learner.batch import by_run
from rlcli.learner.hyperparameters import Hyperparameters
from rlcli.learner.operations import Operations
from rlcli.learner.state import TrainState
from rlcli.nets.observations import CLIP, FLOOR, Moments
from rlcli.nets.policy import Model


def scaled_rewards(config: RunConfig, moments: Moments, rewards: Tensor) -> Tensor:
    """Rewards [T, R, N] as float32; clipped, or divided by the running deviation of the return, as asked."""
    if config.algo.reward_clip is not None:
        rewards = rewards.clamp(-config.algo.reward_clip, config.algo.reward_clip)
    if config.env.normalize_reward:
        rewards = (rewards / (moments.variance + FLOOR).sqrt()).clamp(-CLIP, CLIP)
    return rewards.float()


def advanced_statistics(
    operations: Operations,
    config: RunConfig,
    hyper: Hyperparameters,
    model: Model,
    state: TrainState,
    rollout: Rollout,
) -> tuple[Moments, Moments, Tensor]:
    """Observation and reward statistics and the return accumulators after this rollout's raw data."""
    observed, returned, carried = state.policy.moments, state.reward_moments, state.discounted
    encoder = model.network.encoder
    if encoder.normalize:
        observed = operations.advance(observed, encoder.rows(by_run(rollout.acted_on)))
    if config.env.normalize_reward:
        ended = rollout.terminated | rollout.truncated
        gamma = hyper.gamma.double()
        totals, carried = operations.discounted_returns(rollout.rewards, ended, gamma, carried)
        returned = operations.advance(returned, by_run(totals).unsqueeze(-1))
    return observed, returned, carried
