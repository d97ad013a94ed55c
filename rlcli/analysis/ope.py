"""Off-policy evaluation of a run: every estimator with its interval, and how far weights can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from rlcli.analysis.episode_file import EpisodeFile
from rlcli.analysis.fqe import fitted_values
from rlcli.analysis.statistics import CONFIDENCE
from rlcli.errors import UserError
from rlcli.maths import ope
from rlcli.maths.draws import generator
from rlcli.maths.pareto import UNRELIABLE, khat
from rlcli.runs.episodes import log_probs_under, process_of
from rlcli.runs.policy import Trained
from rlcli.text import shown

RESAMPLES = 1_000
FEW = 10.0
"""Effective episodes below which importance weights say nothing."""
WITHOUT_PRODUCTS = ("direct", "marginalised")
"""Estimators without products of ratios over an episode."""


@dataclass(frozen=True)
class Estimate:
    """One estimator's answer."""

    name: str
    value: float
    low: float
    high: float
    """Bounds of the 95% percentile bootstrap interval over episodes."""
    worthless: bool
    """Whether it rests on weights that cannot be trusted."""


@dataclass(frozen=True)
class Evaluation:
    """What recorded episodes tell about a target policy's return."""

    episodes: int
    gamma: float
    behaviour_return: float
    effective: float
    """ESS of the episodes' weights, in episodes."""
    khat: float | None
    """Pareto k-hat of the episodes' weights; None with too few of them."""
    largest_weight: float
    estimates: tuple[Estimate, ...]
    truncation_bias: float
    """Bound of the truncated estimate's bias."""
    lower_bound: float
    """The return is above it with 95% confidence, as `maths.ope.lower_bound` says."""

    @property
    def warning(self) -> str | None:
        """Why weighted estimates are worthless, in a sentence; None if they are not."""
        if self.episodes < 2 * FEW:
            return (
                f"{self.episodes} episodes are too few: estimates with weights are worthless; record more "
                "(rlcli rollouts RUN --episodes 200)"
            )
        if self.effective < FEW:
            return (
                f"the weights leave {self.effective:.1f} effective episodes of {self.episodes}: estimates "
                "with weights are worthless"
            )
        if self.khat is not None and self.khat > UNRELIABLE:
            return f"k-hat {self.khat:.2f} is above {UNRELIABLE}: the tail of the weights cannot be trusted"
        return None

    def row(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "episodes": self.episodes, "gamma": self.gamma, "behaviour_return": self.behaviour_return,
            "ess": self.effective, "khat": self.khat, "largest_weight": self.largest_weight,
            "warning": self.warning, "truncation_bias": self.truncation_bias, "lower_bound": self.lower_bound,
            "estimates": {
                one.name: {"value": one.value, "low": one.low, "high": one.high, "worthless": one.worthless}
                for one in self.estimates
            },
        }  # fmt: skip


def evaluate(target: Trained, recorded: EpisodeFile, origin: str, gamma: float, seed: int) -> Evaluation:
    """Every estimator of a target policy's return, from recorded episodes named `origin` in messages.

    Raises:
        UserError: the episodes are of another environment, or of other observations or actions.
    """
    check(target, recorded, origin)
    torch.set_num_threads(target.config.compute.threads)
    episodes = recorded.episodes
    under = log_probs_under(target, episodes, origin)
    present = torch.from_numpy(episodes.present)
    ratios = torch.where(present, torch.from_numpy(under - recorded.log_probs), 0.0)
    values = fitted_values(*target.policy, target.spec, episodes, gamma, seed)
    states = None
    if target.spec.observation.kind == "discrete":
        states = torch.from_numpy(episodes.observations[:, :-1])
    data = ope.Episodes(
        ratios,
        torch.from_numpy(episodes.rewards),
        present,
        gamma,
        values.of_actions,
        values.of_states,
        states,
    )
    return summarise(data, seed)


def summarise(data: ope.Episodes, seed: int) -> Evaluation:
    """Estimates with their intervals; equal data and seed give equal figures."""
    count = len(data.returns)
    effective = (ope.effective_episodes(data) * count).item()
    tail = khat(data.log_weights).item()
    known = None if np.isnan(tail) else tail
    bad = count < 2 * FEW or effective < FEW or (known is not None and known > UNRELIABLE)
    draws = generator(seed, "bootstrap")
    resampled = [data.take(torch.randint(count, (count,), generator=draws)) for _ in range(RESAMPLES)]
    estimates = []
    for name, estimator in ope.ESTIMATORS.items():
        if name in ope.TABULAR and data.states is None:
            continue
        spread = np.array([estimator(each).item() for each in resampled])
        low, high = _interval(spread)
        estimates.append(
            Estimate(name, estimator(data).item(), low, high, bad and name not in WITHOUT_PRODUCTS)
        )
    return Evaluation(
        count,
        data.gamma,
        ope.behaviour_return(data).item(),
        effective,
        known,
        data.log_weights.max().exp().item(),
        tuple(estimates),
        ope.truncation_bias(data).item(),
        ope.lower_bound(data, CONFIDENCE).item(),
    )


def mean_interval(returns: npt.NDArray[np.float64], seed: int) -> tuple[float, float, float]:
    """Mean of returns with its 95% bootstrap interval."""
    draws = np.random.default_rng(seed)
    spread = returns[draws.integers(len(returns), size=(RESAMPLES, len(returns)))].mean(-1)
    return float(returns.mean()), *_interval(spread)


def check(target: Trained, recorded: EpisodeFile, origin: str) -> None:
    """Raises `UserError` with every key in which the target's decision process is not the recorded one."""
    theirs, own = recorded.about["process"], process_of(target.config)
    differ = [
        f"{name} is {_written(theirs, name)} there, and {_written(own, name)} for the target"
        for name in sorted(theirs.keys() | own.keys())
        if name not in theirs or name not in own or theirs[name] != own[name]
    ]
    if differ:
        raise UserError(
            f"{origin} has episodes of another decision process: {'; '.join(differ)}.",
            hint="Record episodes of a run with the target's settings: rlcli rollouts RUN --out FILE.npz",
        )


def _written(process: Mapping[str, Any], name: str) -> str:
    return shown(process[name]) if name in process else "not recorded"


def _interval(spread: npt.NDArray[np.float64]) -> tuple[float, float]:
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = np.quantile(spread, [tail, 1.0 - tail])
    return float(low), float(high)
