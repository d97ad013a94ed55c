"""Off-policy evaluation of a run: every estimator with its interval, and how far weights can be trusted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from rlcli.analysis.episode_file import EpisodeFile
from rlcli.analysis.fqe import fitted_values
from rlcli.analysis.statistics import CONFIDENCE
from rlcli.errors import UserError
from rlcli.maths import ope
from rlcli.maths.draws import generator
from rlcli.maths.pareto import UNRELIABLE, khat
from rlcli.runs.episodes import log_probs_under, process_of
from rlcli.runs.policy import Trained
from rlcli.text import counted, shown

RESAMPLES = 1_000
FEW = 10.0
"""Effective episodes below which importance weights say nothing."""
IMPOSSIBLE = 1e-12
"""Probability below which a weight is taken for an error of the file."""


@dataclass(frozen=True)
class Weights:
    """Weights of an estimator, one per episode, at the step where the fewest episodes count."""

    step: int | None
    """That step; None where a weight is of the whole episode."""
    ess: float
    """Effective sample size, in episodes."""
    khat: float | None
    """Pareto k-hat; None where they have no shape: with too few of them, or many equal ones."""
    largest: float

    def fault(self, episodes: int) -> str | None:
        """Why they cannot be trusted; None if they can."""
        at = "" if self.step is None else f" at step {self.step}"
        if episodes < 2 * FEW:
            are = "is" if episodes == 1 else "are"
            return f"{counted(episodes, 'episode')} {are} too few; record more with --episodes"
        if not self.ess >= FEW:
            return f"the weights leave {self.ess:.1f} effective episodes of {episodes}{at}"
        if self.khat is not None and self.khat > UNRELIABLE:
            return f"k-hat {self.khat:.2f} of the weights is above {UNRELIABLE}{at}"
        return None


@dataclass(frozen=True)
class Estimate:
    """Value of one estimator."""

    name: str
    value: float
    low: float
    high: float
    """Bounds of the 95% percentile bootstrap interval over episodes."""
    weights: Weights | None
    """None for the direct method, which has none."""
    worthless: bool
    """Whether it is not finite, or rests on weights that cannot be trusted."""
    warning: str | None
    """Why it is worthless, or extrapolates."""

    @property
    def mark(self) -> str:
        """The warning in a word."""
        return "worthless" if self.worthless else "extrapolates" if self.warning else ""


@dataclass(frozen=True)
class Evaluation:
    """Estimates of a target policy's return from recorded episodes."""

    episodes: int
    gamma: float
    behaviour_return: float
    weights: Weights
    """Weights of whole episodes."""
    warning: str | None
    """Why estimates with weights of whole episodes are worthless; None if they are not."""
    estimates: tuple[Estimate, ...]
    left_out: Mapping[str, str]
    """Reasons why estimators are not among these, by their names."""
    truncation_bias: float
    """Estimate of the bound of the truncated estimate's bias; NaN where weights are not of the behaviour."""
    largest_return: float
    """max|G|."""
    lower_bound: float | None
    """The return is above it with 95% confidence, as `maths.ope.lower_bound` says; None with a warning."""

    def row(self) -> dict[str, Any]:
        """Plain data."""
        found = asdict(self)
        estimates = {one.pop("name"): one for one in found.pop("estimates")}
        whole = found.pop("weights")
        return {
            **found, "ess": whole["ess"], "khat": whole["khat"], "largest_weight": whole["largest"],
            "estimates": estimates,
        }  # fmt: skip


def evaluate(target: Trained, recorded: EpisodeFile, origin: str, gamma: float, seed: int) -> Evaluation:
    """Every estimator of a target policy's return, from recorded episodes named `origin` in messages.

    Raises:
        UserError: the episodes are of another decision process, or of other observations or actions.
    """
    check(target, recorded, origin)
    torch.set_num_threads(target.config.compute.threads)
    episodes = recorded.episodes
    under = log_probs_under(target, episodes, origin)
    present = torch.from_numpy(episodes.present)
    ratios = torch.where(present, torch.from_numpy(under) - torch.from_numpy(recorded.log_probs), 0.0)
    values = fitted_values(*target.policy, target.spec, episodes, gamma, seed)
    obstacle = _without_states(target, recorded)
    data = ope.Episodes(
        ratios,
        torch.from_numpy(episodes.rewards),
        present,
        gamma,
        values.of_actions,
        values.of_states,
        None if obstacle else torch.from_numpy(episodes.observations[:, :-1]),
    )
    return summarise(data, seed, dict.fromkeys(ope.TABULAR, obstacle) if obstacle else {})


def summarise(data: ope.Episodes, seed: int, left_out: Mapping[str, str] | None = None) -> Evaluation:
    """Estimates with their intervals; equal data and seed give equal figures."""
    count, left_out = len(data.returns), left_out or {}
    draws = generator(seed, "bootstrap")
    resampled = [data.take(torch.randint(count, (count,), generator=draws)) for _ in range(RESAMPLES)]
    broken = _broken(data)
    estimates = tuple(
        _estimate(name, data, resampled, broken) for name in ope.ESTIMATORS if name not in left_out
    )
    whole = estimates[0]
    assert whole.weights is not None
    return Evaluation(
        episodes=count,
        gamma=data.gamma,
        behaviour_return=ope.behaviour_return(data).item(),
        weights=whole.weights,
        warning=whole.warning,
        estimates=estimates,
        left_out=left_out,
        truncation_bias=math.nan if broken else ope.truncation_bias(data).item(),
        largest_return=data.returns.abs().max().item(),
        lower_bound=None if whole.warning else ope.lower_bound(data, CONFIDENCE).item(),
    )


def mean_interval(returns: Tensor, seed: int) -> tuple[float, float, float]:
    """Mean of returns with its 95% bootstrap interval."""
    draws = generator(seed, "bootstrap")
    chosen = torch.randint(len(returns), (RESAMPLES, len(returns)), generator=draws)
    return returns.mean().item(), *_interval(returns[chosen].mean(-1))


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


def _without_states(target: Trained, recorded: EpisodeFile) -> str | None:
    """Why there are no states to count; None if there are."""
    if target.spec.observation.kind != "discrete":
        return f"it counts states, and observations of {target.spec.id} are not Discrete"
    if target.has_memory or recorded.about["memory"]:
        return "it weighs actions by the state alone, and a network with memory acts by the past, too"
    return None


def _broken(data: ope.Episodes) -> str | None:
    """Why the weights are not of the policy that acted; None if they may be.

    Of n episodes one has a weight of x or more, at any step, with probability n/x at most: each weight is a
    martingale with the mean 1 (Ville's inequality).
    """
    log_probability = math.log(len(data.returns)) - data.log_prefixes.max().item()
    if log_probability > math.log(IMPOSSIBLE):
        return None
    return "a weight is so large that the log-probabilities cannot be those of the policy that acted"


def _estimate(name: str, data: ope.Episodes, resampled: list[ope.Episodes], broken: str | None) -> Estimate:
    estimator, count = ope.ESTIMATORS[name], len(data.returns)
    value = estimator(data).item()
    low, high = _interval(torch.stack([estimator(each) for each in resampled]))
    weights = _weights(ope.LOG_WEIGHTS[name](data)) if name in ope.LOG_WEIGHTS else None
    if not all(map(math.isfinite, (value, low, high))):
        return Estimate(name, value, low, high, weights, True, "the estimate is not finite")
    if weights is not None:
        fault = broken or weights.fault(count)
        return Estimate(name, value, low, high, weights, fault is not None, fault)
    fault = _weights(data.log_weights[:, None]).fault(count)
    return Estimate(name, value, low, high, None, False, fault and f"the fitted values extrapolate: {fault}")


def _weights(log_weights: Tensor) -> Weights:
    """The weights [n, K] at the step where the fewest episodes count."""
    ess = ope.effective_episodes(log_weights).nan_to_num(0.0)
    worst = int(ess.argmin())
    chosen = log_weights[:, worst]
    step = worst if log_weights.shape[1] > 1 else None
    return Weights(step, ess[worst].item(), _shape(chosen), chosen.max().exp().item())


def _shape(log_weights: Tensor) -> float | None:
    """k-hat of n weights; None where they have none."""
    found = khat(log_weights).item()
    return None if math.isnan(found) else found


def _interval(spread: Tensor) -> tuple[float, float]:
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = spread.quantile(torch.tensor([tail, 1.0 - tail], dtype=torch.float64)).tolist()
    return low, high
