"""What a critic's head predicts: values of states, or values of actions.

Shapes: R runs, B rows, A actions.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from rlcli.maths.distribution import Distribution
from rlcli.maths.distributions import Categorical


class Critic(Protocol):
    """How the value head of a network is read."""

    @property
    def reads_policy(self) -> bool:
        """Whether the value of a state depends on the policy's outputs, too."""

    def state_values(self, head: Tensor, policy: Distribution) -> Tensor:
        """V [R, B] of states where the head gives [R, B] or [R, B, A] and the policy is `policy`."""

    def predictions(self, head: Tensor, actions: Tensor) -> Tensor:
        """[R, B]: what is fitted to value targets, where these actions [R, B, ...] were taken."""

    def pullback(self, by_predictions: Tensor, head: Tensor, actions: Tensor) -> Tensor:
        """The gradient by the head, from that by `predictions` [R, B]."""


class StateValues:
    """V(s): the head is the value of the state, and the prediction, whatever the action."""

    reads_policy = False

    def state_values(self, head: Tensor, policy: Distribution) -> Tensor:
        """See `Critic`."""
        return head

    def predictions(self, head: Tensor, actions: Tensor) -> Tensor:
        """See `Critic`."""
        return head

    def pullback(self, by_predictions: Tensor, head: Tensor, actions: Tensor) -> Tensor:
        """See `Critic`."""
        return by_predictions


class ActionValues:
    """Q(s, a) of Discrete actions: V(s) = Σ_b π(b|s) Q(s, b), and the prediction is Q of the action taken."""

    reads_policy = True

    def state_values(self, head: Tensor, policy: Distribution) -> Tensor:
        """See `Critic`."""
        assert isinstance(policy, Categorical), "checked before training"
        return (policy.probs * head.view(policy.probs.shape)).sum(-1)

    def predictions(self, head: Tensor, actions: Tensor) -> Tensor:
        """See `Critic`."""
        return head.view(*actions.shape, -1).gather(-1, actions.unsqueeze(-1)).squeeze(-1)

    def pullback(self, by_predictions: Tensor, head: Tensor, actions: Tensor) -> Tensor:
        """See `Critic`."""
        gradient = head.new_zeros(*actions.shape, head.numel() // actions.numel())
        return gradient.scatter_(-1, actions.unsqueeze(-1), by_predictions.unsqueeze(-1)).view(head.shape)


STATE_VALUES: Critic = StateValues()
ACTION_VALUES: Critic = ActionValues()
