"""The algorithm table: what each choice of a row stands for. A new formula is one function and one entry.

Shapes: T time, R runs, N environments of one run, B samples.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from rlcli.config.schema import AlgoConfig
from rlcli.learner.hyperparameters import Hyperparameters
from rlcli.maths import estimators, surrogates
from rlcli.maths.surrogates import Objective


class Transitions(NamedTuple):
    """What estimators read, each [T, R, N]; values are the critic's at the start of the update."""

    rewards: Tensor
    values: Tensor
    next_values: Tensor
    """V of the true successors."""
    terminated: Tensor
    truncated: Tensor
    log_rhos: Tensor
    """log(pi/mu) of the actions taken."""

    @property
    def on_policy(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """What estimators read that do not ask who acted."""
        return self.rewards, self.values, self.next_values, self.terminated, self.truncated


Targets = Callable[[AlgoConfig, Hyperparameters, Transitions], tuple[Tensor, Tensor]]
"""-> (advantages, value targets), each [T, R, N]."""
Surrogate = Callable[[Tensor, Tensor, Tensor, Hyperparameters], Objective]
"""(log pi, log anchor, advantages [R, B], hyper) -> objective of each sample [R, B], to be ascended."""


def _gae(_: AlgoConfig, hyper: Hyperparameters, seen: Transitions) -> tuple[Tensor, Tensor]:
    advantages = estimators.gae(*seen.on_policy, hyper.gamma, hyper.gae_lambda)
    return advantages, advantages + seen.values


def _nstep(algo: AlgoConfig, hyper: Hyperparameters, seen: Transitions) -> tuple[Tensor, Tensor]:
    advantages = estimators.nstep(*seen.on_policy, hyper.gamma, algo.n_step)
    return advantages, advantages + seen.values


def _monte_carlo(_: AlgoConfig, hyper: Hyperparameters, seen: Transitions) -> tuple[Tensor, Tensor]:
    returns = estimators.monte_carlo(*seen.on_policy, hyper.gamma)
    return returns - seen.values, returns


def _vtrace(algo: AlgoConfig, hyper: Hyperparameters, seen: Transitions) -> tuple[Tensor, Tensor]:
    found = estimators.vtrace(
        seen.log_rhos, *seen.on_policy, hyper.gamma, hyper.gae_lambda, hyper.rho_bar, hyper.c_bar
    )
    # A ratio surrogate brings the ratio itself; the score function has it from its advantage.
    advantages = found.ratios * found.advantages if algo.surrogate == "score" else found.advantages
    return advantages, found.targets


def _clipped(log_prob: Tensor, log_anchor: Tensor, advantages: Tensor, hyper: Hyperparameters) -> Objective:
    return surrogates.clipped((log_prob - log_anchor).exp(), advantages, hyper.clip)


def _ratio(log_prob: Tensor, log_anchor: Tensor, advantages: Tensor, _: Hyperparameters) -> Objective:
    return surrogates.importance_ratio((log_prob - log_anchor).exp(), advantages)


def _score(log_prob: Tensor, _: Tensor, advantages: Tensor, __: Hyperparameters) -> Objective:
    return surrogates.score(log_prob, advantages)


TARGETS: dict[str, Targets] = {"gae": _gae, "nstep": _nstep, "monte_carlo": _monte_carlo, "vtrace": _vtrace}
SURROGATES: dict[str, Surrogate] = {
    "clipped": _clipped,
    "ratio": _ratio,
    "score": _score,
    "weighted": _score,  # of coefficients that stand for advantages: weighting.py
}
