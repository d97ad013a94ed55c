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
    segments,
    sqrt_cap,
    weight_figures,
)


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

    def __call__(self, log_prob: Tensor) -> Tensor:
        """The coefficients [R, B] where the actions have these log-probabilities [R, B]."""
        coefficients = gradient_coefficients(
            self._weights(log_prob),
            self._rewards,
            self._advantages,
            self._gamma,
            self._baseline,
            discount_states=self._algo.discount_states,
        )
        return by_run(coefficients).float()

    def figures(self, log_prob: Tensor) -> dict[str, Tensor]:
        """`weights/...` of the policy with these log-probabilities [R, B], each [R] float64."""
        found = weight_figures(self._weights(log_prob))
        return {f"weights/{name}": value for name, value in found.items()}

    def _weights(self, log_prob: Tensor) -> Weights:
        log_ratios = by_time(log_prob.double() - self._log_acting, self._algo.rollout_steps)
        return importance_weights(
            self._algo.weights, log_ratios, self._segments, self._cap, self._algo.self_normalise
        )
