"""Estimates of an update: advantages and value targets.

Shapes: T time, R runs, N environments of one run, B = T N samples, D policy outputs, P parameters.
"""

from __future__ import annotations

from torch import Tensor

from rlcli.config.schema.run import RunConfig
from rlcli.learner.algorithm import Algorithm
from rlcli.learner.batch import Transitions, by_run, by_time, memory_of
from rlcli.learner.hyperparameters import Hyperparameters
from rlcli.learner.learnt import Learnt
from rlcli.learner.state import TrainState
from rlcli.learner.successors import successors
from rlcli.nets.policy import Model


class Estimator:
    """Advantages and value targets of a rollout under the critic and policy of any moment of its update."""

    def __init__(
        self,
        algorithm: Algorithm,
        config: RunConfig,
        hyper: Hyperparameters,
        model: Model,
        state: TrainState,
        learnt: Learnt,
    ) -> None:
        rollout, inputs = learnt.rollout, learnt.inputs
        self._targets, self._hyper, self._model, self._rollout = algorithm.targets, hyper, model, rollout
        self._inputs, self._actions = inputs, by_run(rollout.actions)
        self._memory = memory_of(rollout)
        exact = algorithm.operations.exact_rows
        self._next_values = successors(model, state.policy, rollout, inputs, self._memory, exact)
        self._rewards = algorithm.operations.scaled_rewards(config, state.reward_moments, rollout.rewards)
        self._log_acting = learnt.log_acting
        self._measured = algorithm.operations.comparison.measured

    def transitions(
        self, parameters: Tensor, values: Tensor, predictions: Tensor, log_prob: Tensor
    ) -> Transitions:
        """What is known with V, predictions and log-probabilities [R, B] under `parameters` [R, P]."""
        rollout, by_time = self._rollout, self._by_time(values)
        return Transitions(
            self._rewards,
            by_time,
            self._next_values(parameters, values),
            rollout.terminated,
            rollout.truncated,
            self._by_time(log_prob - self._log_acting),
            by_time if predictions is values else self._by_time(predictions),
        )

    def __call__(self, transitions: Transitions) -> tuple[Tensor, Tensor]:
        """Advantages and value targets, both [R, B]."""
        advantages, targets = self._targets(self._hyper, transitions)
        return by_run(advantages), by_run(targets)

    def under(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Advantages and value targets under `parameters` [R, P]."""
        outputs, head = self._model.both_heads(parameters, self._inputs, self._memory)
        policy = self._model.family.distribution(*outputs)
        critic = self._model.criticised(head, policy, self._actions)
        return self(self.transitions(parameters, *critic, self._measured(policy, self._actions).kept))

    def _by_time(self, batch: Tensor) -> Tensor:
        return by_time(batch, len(self._rewards))
