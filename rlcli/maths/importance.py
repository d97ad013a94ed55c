"""Importance weights of whole trajectories.

Shapes: [T, ..., N], time-major; N environments of one run, the axes between (none, or R) are runs. What
there is one of for a run is [R, 1] as an argument and [R] as a result. A segment is what one environment did
from the later of episode and rollout start to the earlier of their ends; a run has S of them.
Segments that do not count (`segments`) are as if they were not there.
Everything is in log space until a weight multiplies something, so that products over a horizon neither
overflow nor vanish on the way.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from rlcli.maths.estimators import discounted_returns
from rlcli.maths.health import effective_sample_size
from rlcli.maths.segments import Segments, at_age, per_run, spread

KINDS = ("trajectory", "per_decision", "prefix", "per_step", "none")
"""ρ_{0:end} for all steps of a segment; ρ_{0:t} for reward t; ρ_{0:t} for step t; ρ_t for step t; 1."""
BY_SEGMENT = ("trajectory", "per_decision")
"""Kinds of which a segment, not a step, is one sample."""


class Weights(NamedTuple):
    """The weights an estimator uses: capped, and of mean 1 if self-normalised."""

    kind: str
    """One of KINDS."""
    log: Tensor
    """[T, ..., N]: the logarithm of each step's weight; under `per_decision` that of its reward."""
    log_scale: Tensor | None
    """[..., T]: what `per_decision` weights of each age were divided by; None otherwise."""
    normalised: bool
    segments: Segments


def log_weights(kind: str, log_ratios: Tensor, parts: Segments) -> Tensor:
    """Uncapped weights of one of KINDS from log π(a|s)/μ(a|s), both [T, ..., N].

    The dynamics cancel in the ratio of two probabilities of one trajectory. Source: Precup, Sutton and Singh
    2000, 'Eligibility Traces for Off-Policy Policy Evaluation', sections 2 and 3.
    """
    if kind == "none":
        return torch.zeros_like(log_ratios)
    if kind == "per_step":
        return log_ratios
    one = torch.ones_like(log_ratios[0])
    prefixes, _ = discounted_returns(log_ratios, parts.last, one, torch.zeros_like(one))
    return spread(prefixes, parts.last) if kind == "trajectory" else prefixes


def sqrt_cap(kind: str, parts: Segments) -> Tensor:
    """√n, [..., 1] float64: n the samples of a run, segments or steps as the kind has it.

    Source: Ionides 2008, 'Truncated Importance Sampling', section 2: the cap that balances bias and variance.
    """
    return per_run(sample_steps(kind, parts)).double().sum(-1, keepdim=True).sqrt()


def importance_weights(
    kind: str, log_ratios: Tensor, parts: Segments, cap: Tensor | None = None, self_normalise: bool = False
) -> Weights:
    """The weights of one of KINDS: first capped at `cap` [..., 1], then divided by their mean.

    The mean is over a run's segments (`trajectory`), over its segments at each age, ended ones keeping their
    last weight (`per_decision`), or over its steps (the others). Both cures trade variance for bias.
    """
    log = capped_log(log_weights(kind, log_ratios, parts), cap)
    log_scale = None
    if self_normalise and kind == "per_decision":
        log_scale = _log_means_by_age(log, parts)
        log = log - at_age(log_scale, parts.age)
    elif self_normalise:
        counted = per_run(sample_steps(kind, parts))
        alive = torch.where(counted, per_run(log), -math.inf)
        log = log - (_log_sum(alive) - counted.to(log.dtype).sum(-1, keepdim=True).log())
    return Weights(kind, log, log_scale, self_normalise, parts)


def capped_log(log: Tensor, cap: Tensor | None) -> Tensor:
    """log min(w, cap) of log-weights [T, ..., N], cap [..., 1]."""
    if cap is None:
        return log
    limit = cap.to(log.dtype).log()
    return torch.where(log > limit, limit, log)


def estimator_variance(values: Tensor, policy: Tensor, behaviour: Tensor, samples: int) -> Tensor:
    """Variance of (1/n) Σ_i (π/μ) f over n samples of μ: (1/n) Σ_x (f π - m μ)²/μ, m = Σ_x f π; [...].

    Values f(x) and probabilities are on the last axis, μ must be positive where π f is not.
    It is least, 0, for μ = f π / m (f of one sign), and infinite in the limit where μ vanishes before π does.
    """
    target = values * policy
    mean = target.sum(-1, keepdim=True)
    gap = target - mean * behaviour
    terms = torch.where(behaviour > 0, gap * gap / behaviour, torch.where(gap == 0, 0.0, math.inf))
    return terms.sum(-1) / samples


def weight_figures(weights: Weights) -> dict[str, Tensor]:
    """ess, max and variance of a run's weights, each [...]; of its segments' last weights where those count.

    ess = (Σw)² / (n Σw²), in (0, 1]; the variance is the population's.
    """
    counted = per_run(sample_steps(weights.kind, weights.segments))
    log = torch.where(counted, per_run(weights.log).double(), -math.inf)
    count = counted.double().sum(-1, keepdim=True)
    weight = log.exp()
    centred = torch.where(counted, weight - weight.sum(-1, keepdim=True) / count, 0.0)
    share = effective_sample_size(log) * log.shape[-1] / count.squeeze(-1)
    return {
        "ess": share.clamp(max=1.0),
        "max": weight.amax(-1),
        "variance": (centred * centred).sum(-1) / count.squeeze(-1),
    }


def sample_steps(kind: str, parts: Segments) -> Tensor:
    """Which steps' weights are the samples: the last of each segment that counts, or all its steps."""
    return parts.last & parts.counted if kind in BY_SEGMENT else parts.counted


def _log_means_by_age(log: Tensor, parts: Segments) -> Tensor:
    """log of the mean weight over all S segments at each age, ended ones keeping their last weight; [..., T].

    -inf at no age: a segment counts at every age, ended or not.
    """
    by_run, age = per_run(torch.where(parts.counted, log, -math.inf)), per_run(parts.age)
    last, steps = per_run(parts.last), len(log)
    going = _log_sums(by_run, age, steps)
    # A segment that ends at age a counts as ended from a + 1 on; the last bin takes what is no end.
    since = torch.where(last, age + 1, steps)
    ended = _log_sums(by_run, since, steps + 1)[..., :steps].logcumsumexp(-1)
    return _log_add(going, ended) - parts.total.to(log.dtype).log().unsqueeze(-1)


def _log_sums(log: Tensor, bins: Tensor, count: int) -> Tensor:
    """log Σ exp of the entries in each of `count` bins, over the last axis; -inf for an empty bin."""
    empty = log.new_full((*log.shape[:-1], count), -math.inf)
    peak = empty.scatter_reduce(-1, bins, log, "amax")
    peak = torch.where(peak.isfinite(), peak, 0.0)
    sums = torch.zeros_like(peak).scatter_add(-1, bins, (log - peak.gather(-1, bins)).exp())
    return sums.log() + peak


def _log_sum(log: Tensor) -> Tensor:
    """log Σ exp over the last axis, kept."""
    peak = log.amax(-1, keepdim=True)
    return (log - peak).exp().sum(-1, keepdim=True).log() + peak


def _log_add(a: Tensor, b: Tensor) -> Tensor:
    """log(exp a + exp b), where not both are -inf."""
    peak = torch.maximum(a, b)
    return ((a - peak).exp() + (b - peak).exp()).log() + peak
