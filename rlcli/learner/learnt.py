"""What an update learns from: the samples of its rollout, or also of earlier ones, and the policies on them.

Shapes: T time, R runs, N environments of one run, B = T N samples, D policy outputs, P parameters.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from rlcli.collect.rollout import Rollout
from rlcli.learner.batch import by_run
from rlcli.learner.comparison import Comparison, Measured
from rlcli.learner.epoch_figures import OnSamples
from rlcli.learner.reuse import Joined, join, log_behaviour
from rlcli.learner.state import TrainState
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


class Learnt(NamedTuple):
    """What an update learns from: its rollout, or also earlier ones (`learner/reuse.py`)."""

    rollout: Rollout
    inputs: Tensor
    """[R, B, ...]: encoded observations."""
    values: Tensor
    """[R, B]: V at the start of the update."""
    predictions: Tensor
    """[R, B]: what the critic predicts of the samples then; V, or Q of the actions taken."""
    initial: SampledPolicy
    """The policy at the start of the update, on the batch."""
    log_acting: Tensor
    """[R, B]: log μ of the actions taken, or of the mixture of several μ."""
    on_batch: OnSamples
    joined: Joined | None = None
    """Where rollouts are reused."""


def reused(comparison: Comparison, model: Model, state: TrainState, rollout: Rollout) -> Learnt:
    """The rollout and the kept ones as one, acted in by the mixture of their policies."""
    joined = join(state, rollout)
    actions = by_run(joined.rollout.actions)
    inputs = model.encode(state.policy, by_run(joined.rollout.acted_on))
    outputs, head = model.both_heads(state.policy.parameters, inputs)
    initial = sampled(comparison, model, outputs, actions)
    critic = model.criticised(head, initial.distribution, actions)
    log_acting = log_behaviour(comparison, model, state, joined, initial.log_prob)
    on_batch = OnSamples(model, inputs, actions, None, comparison.measured)
    return Learnt(joined.rollout, inputs, *critic, initial, log_acting, on_batch, joined)


def sampled(comparison: Comparison, model: Model, outputs: Outputs, actions: Tensor) -> SampledPolicy:
    """The policy of these outputs on the actions [R, B, ...] taken."""
    distribution = model.family.distribution(*outputs)
    return SampledPolicy(outputs, distribution, comparison.measured(distribution, actions))
