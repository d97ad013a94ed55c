"""The algorithm table: what each choice of a row stands for. A new formula is one function and one entry.

Shapes: T time, R runs, N environments of one run, B samples.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from rlcli.learner.hyperparameters import Hyperparameters
from rlcli.maths import estimators, surrogates
from rlcli.maths.surrogates import Objective

Targets = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, Hyperparameters], tuple[Tensor, Tensor]]
"""(rewards, values, next values, terminated, truncated [T, R, N], hyper) -> (advantages, value targets)."""
Surrogate = Callable[[Tensor, Tensor, Hyperparameters], Objective]
"""(ratio pi/anchor, advantages [R, B], hyper) -> objective of each sample [R, B], to be ascended."""


def _gae(
    rewards: Tensor,
    values: Tensor,
    next_values: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    hyper: Hyperparameters,
) -> tuple[Tensor, Tensor]:
    advantages = estimators.gae(
        rewards, values, next_values, terminated, truncated, hyper.gamma, hyper.gae_lambda
    )
    return advantages, advantages + values


def _clipped(ratio: Tensor, advantages: Tensor, hyper: Hyperparameters) -> Objective:
    return surrogates.clipped(ratio, advantages, hyper.clip)


TARGETS: dict[str, Targets] = {"gae": _gae}
SURROGATES: dict[str, Surrogate] = {"clipped": _clipped}
