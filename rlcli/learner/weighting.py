"""Importance weights of a whole rollout in the place of advantages: what `surrogate=weighted` ascends.

Shapes: T time, R runs, N environments of one run, B = T N samples.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rlcli.config.schema import RunConfig
from rlcli.learner.batch import by_run, by_time
from rlcli.learner.hyperparameters import Hyperparameters
from rlcli.learner.table import Transitions
from rlcli.maths.estimators import bootstrapped_rewards
from rlcli.maths.importance import (
    Weights,
    gradient_coefficients,
    importance_weights,
    outcomes,
    segments,
    sqrt_cap,
    weight_figures,
)
from rlcli.maths.path import gained


class Weighting:
    """Coefficients of ∇ log π(a|s) that estimate the policy gradient from what an older policy did.

    Their mean over the B steps is the estimate of `maths/importance.py` times S / B, S the segments.
    Everything is in float64, as products over a horizon need.
    """

    def __init__(
        self,
        config: RunConfig,
        hyper: Hyperparameters,
        seen: Transitions,
        advantages: Tensor,
        log_acting: Tensor,
        counted: Tensor,
    ) -> None:
        """`advantages` and `log_acting`, log μ of the actions taken, are [R, B], `counted` [T, R, N]."""
        algo = config.algo
        self._algo = algo
        self._gamma = hyper.gamma.double()
        self._log_acting = log_acting.double()
        self._segments = segments(seen.terminated | seen.truncated)._replace(counted=counted)
        self._still = torch.zeros_like(seen.rewards, dtype=torch.float64)
        self._cap = torch.where(
            hyper.weight_cap.isnan(), sqrt_cap(algo.weights, self._segments), hyper.weight_cap.double()
        )
        self._baseline = seen.values.double() if algo.baseline == "value" else None
        self._rewards = bootstrapped_rewards(
            seen.rewards.double(), seen.next_values.double(), seen.terminated, seen.truncated, self._gamma
        )
        self._advantages = by_time(advantages, algo.rollout_steps).double()
        if self._baseline is None:
            self._advantages = self._advantages + seen.values
        self._under_behaviour = outcomes(
            algo.weights,
            self._rewards,
            self._advantages,
            self._gamma,
            self._baseline,
            self._segments,
            discount_states=algo.discount_states,
        )

    def __call__(self, log_prob: Tensor) -> Tensor:
        """The coefficients [R, B] where the actions have these log-probabilities [R, B]."""
        return by_run(self._coefficients(self._weights(self._log_ratios(log_prob)))).float()

    def objective(self, log_prob: Tensor) -> Tensor:
        """Each sample's share [R, B] of the objective at these log-probabilities [R, B], in float64.

        Their mean is the weighted estimate over B: its value under μ, and what following its gradient from μ
        gained. With weights=none log π times the coefficient, as the score function has it.
        """
        if self._algo.weights == "none":
            return log_prob.double() * by_run(self._under_behaviour)
        return by_run(self._under_behaviour + self._gained(self._still, self._log_ratios(log_prob)))

    def gain(self, before: Tensor, after: Tensor) -> Tensor:
        """Each sample's share [R, B] of what following the gradient gains from one policy to another.

        Both by log-probabilities of the actions [R, B]; see `maths/path.py`.
        """
        return by_run(self._gained(self._log_ratios(before), self._log_ratios(after)))

    def _gained(self, first: Tensor, last: Tensor) -> Tensor:
        algo = self._algo
        return gained(
            algo.weights, self._coefficients, first, last, self._segments, self._cap, algo.self_normalise
        )

    def _coefficients(self, weights: Weights) -> Tensor:
        return gradient_coefficients(
            weights,
            self._rewards,
            self._advantages,
            self._gamma,
            self._baseline,
            discount_states=self._algo.discount_states,
        )

    def figures(self, log_prob: Tensor) -> dict[str, Tensor]:
        """`weights/...` of the policy with these log-probabilities [R, B], each [R] float64."""
        found = weight_figures(self._weights(self._log_ratios(log_prob)))
        return {f"weights/{name}": value for name, value in found.items()}

    def _log_ratios(self, log_prob: Tensor) -> Tensor:
        return by_time(log_prob.double() - self._log_acting, self._algo.rollout_steps)

    def _weights(self, log_ratios: Tensor) -> Weights:
        return importance_weights(
            self._algo.weights, log_ratios, self._segments, self._cap, self._algo.self_normalise
        )
