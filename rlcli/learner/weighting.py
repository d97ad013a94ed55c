"""Importance-weighted coefficients in place of advantages (`surrogate=weighted`).

Shapes: T time, R runs, N environments of one run, B = T N samples.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from rlcli.learner.batch import Transitions, by_run, by_time
from rlcli.learner.hyperparameters import Hyperparameters
from rlcli.maths.estimators import bootstrapped_rewards
from rlcli.maths.importance import (
    Weights,
    capped_log,
    importance_weights,
    log_weights,
    sqrt_cap,
    weight_figures,
)
from rlcli.maths.importance_gradients import gradient_coefficients, outcomes
from rlcli.maths.path import NODES, mean_log_weights
from rlcli.maths.products import times
from rlcli.maths.segments import Segments, segments


class WeightingChoices(NamedTuple):
    """Choices of `surrogate=weighted`."""

    kind: str
    """One of `maths.importance.KINDS`."""
    unweighted: bool
    """Whether every weight is 1."""
    self_normalised: bool
    baseline: bool
    """Whether the value function before the update is subtracted from returns."""
    discount_states: bool


class Weighting:
    """Coefficients of ∇ log π(a|s) that estimate the policy gradient from what an older policy did.

    Their mean over the B steps is the estimate of `maths/importance_gradients.py` times S / B, S the
    segments. Everything is in float64, as products over a horizon need.
    """

    def __init__(
        self,
        choices: WeightingChoices,
        hyper: Hyperparameters,
        transitions: Transitions,
        advantages: Tensor,
        log_acting: Tensor,
        counted: Tensor,
    ) -> None:
        """`advantages` and `log_acting`, log μ of the actions taken, are [R, B], `counted` [T, R, N]."""
        self._choices = choices
        self._gamma = hyper.gamma.double()
        self._log_acting = log_acting.double()
        self._segments = segments(transitions.terminated | transitions.truncated)._replace(counted=counted)
        self._cap = torch.where(
            hyper.weight_cap.isnan(), sqrt_cap(choices.kind, self._segments), hyper.weight_cap.double()
        )
        self._baseline = transitions.values.double() if choices.baseline else None
        self._rewards = bootstrapped_rewards(
            transitions.rewards.double(),
            transitions.next_values.double(),
            transitions.terminated,
            transitions.truncated,
            self._gamma,
        )
        self._advantages = by_time(advantages, len(counted)).double()
        if self._baseline is None:
            self._advantages = self._advantages + transitions.values
        self._under_behaviour = outcomes(
            choices.kind,
            self._rewards,
            self._advantages,
            self._gamma,
            self._baseline,
            self._segments,
            discount_states=choices.discount_states,
        )

    def __call__(self, log_prob: Tensor) -> Tensor:
        """The coefficients [R, B] where the actions have these log-probabilities [R, B]."""
        return by_run(self._coefficients(self._weights(self._log_ratios(log_prob)))).float()

    def ascent(self, log_prob: Tensor) -> tuple[Tensor, Tensor]:
        """The coefficients there, and each sample's share of the objective in float64; both [R, B].

        The mean of the shares is the weighted estimate over B: its value under μ, and what following its
        gradient from μ gained (`maths/path.py`). With weights=none log π times the coefficient, as the score
        function has it.
        """
        choices, parts = self._choices, self._segments
        if choices.unweighted:
            return self(log_prob), log_prob.double() * by_run(self._under_behaviour)
        move = self._log_ratios(log_prob)
        if choices.self_normalised:
            return self(log_prob), by_run(self._under_behaviour + self._by_quadrature(move, move))
        # Two sets of weights go through the same sums side by side, which cost their number of steps.
        end = log_weights(choices.kind, move, parts)
        both = torch.stack(
            (capped_log(end, self._cap), mean_log_weights(torch.zeros_like(end), end, self._cap)), 1
        )
        now, mean = self._side_by_side(both).unbind(1)
        return by_run(now).float(), by_run(self._under_behaviour + times(mean, move))

    def gain(self, before: Tensor, after: Tensor) -> Tensor:
        """Each sample's share [R, B] of what following the gradient gains from one policy to another.

        Both by log-probabilities of the actions [R, B].
        """
        choices, parts = self._choices, self._segments
        first, last = self._log_ratios(before), self._log_ratios(after)
        if choices.self_normalised:
            return by_run(self._by_quadrature(last, last - first))
        begin, end = log_weights(choices.kind, torch.stack((first, last), 1), _apart(parts)).unbind(1)
        mean = Weights(choices.kind, mean_log_weights(begin, end, self._cap), None, False, parts)
        return by_run(times(self._coefficients(mean), last - first))

    def _by_quadrature(self, last: Tensor, move: Tensor) -> Tensor:
        """∫ C_t(x) dx_t on the line of `move` that ends at the log-ratios `last`, [T, R, N]."""
        parts = [
            share * times(self._coefficients(self._weights(last - (1.0 - place) * move)), move)
            for place, share in NODES
        ]
        return torch.stack(parts).sum(0)

    def _side_by_side(self, log: Tensor) -> Tensor:
        """The coefficients of several sets of log-weights [T, K, R, N], of that shape."""
        return gradient_coefficients(
            Weights(self._choices.kind, log, None, False, _apart(self._segments)),
            self._rewards.unsqueeze(1),
            self._advantages.unsqueeze(1),
            self._gamma,
            None if self._baseline is None else self._baseline.unsqueeze(1),
            discount_states=self._choices.discount_states,
        )

    def _coefficients(self, weights: Weights) -> Tensor:
        return gradient_coefficients(
            weights,
            self._rewards,
            self._advantages,
            self._gamma,
            self._baseline,
            discount_states=self._choices.discount_states,
        )

    def figures(self, log_prob: Tensor) -> dict[str, Tensor]:
        """`weights/...` of the policy with these log-probabilities [R, B], each [R] float64."""
        found = weight_figures(self._weights(self._log_ratios(log_prob)))
        return {f"weights/{name}": value for name, value in found.items()}

    def _log_ratios(self, log_prob: Tensor) -> Tensor:
        return by_time(log_prob.double() - self._log_acting, len(self._rewards))

    def _weights(self, log_ratios: Tensor) -> Weights:
        return importance_weights(
            self._choices.kind, log_ratios, self._segments, self._cap, self._choices.self_normalised
        )


def _apart(parts: Segments) -> Segments:
    """Segments [T, R, N] for what is [T, K, R, N]."""
    return Segments(*(part.unsqueeze(1) for part in parts))
