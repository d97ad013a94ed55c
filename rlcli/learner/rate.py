"""The learning rate that adapts to the KL (`learning_rate_schedule=adaptive_kl`).

Its factor is [R, 1] float64 state, as that of an adaptive penalty is. Alerts lower the rate by the same
factor; runs with neither keep [R, 0].
"""

from __future__ import annotations

import torch
from torch import Tensor

from rlcli.learner.hyperparameters import Hyperparameters

STEP = 1.5
"""What the rate is multiplied or divided by."""
BAND = 2.0
"""The rate stays while the KL is within this factor of its target."""


def adapted_rate(hyper: Hyperparameters, factor: Tensor) -> Hyperparameters:
    """The hyperparameters of an update, with algo.learning_rate multiplied by the factor [R, 1]."""
    return hyper.scaled("learning_rate", factor.squeeze(-1))


def next_factor(hyper: Hyperparameters, factor: Tensor, kl: Tensor) -> Tensor:
    """The factor [R, 1] of the next update, from the mean KL [R] of this one, whose rate `hyper` has.

    Divided by 1.5 above twice the target, multiplied by it below half the target, and kept within
    learning_rate_min and learning_rate_max. Source: Rudin et al. 2022, 'Learning to Walk in Minutes Using
    Massively Parallel Deep Reinforcement Learning', and their RSL-RL, which adapts before each gradient step
    by the KL on its minibatch, not once an update by that on the whole batch.
    """
    target, rate = hyper.exact("learning_rate_kl"), hyper.exact("learning_rate")
    base = rate / factor.squeeze(-1)
    raised = torch.where(kl < target / BAND, rate * STEP, rate)
    moved = torch.where(kl > BAND * target, rate / STEP, raised)
    bounded = torch.minimum(
        torch.maximum(moved, hyper.exact("learning_rate_min")), hyper.exact("learning_rate_max")
    )
    return (bounded / base).unsqueeze(-1)
