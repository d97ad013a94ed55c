"""Importance weights of whole trajectories, and the policy gradients estimated with them.

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

from rlcli.maths.estimators import discounted_returns, returns_to_go
from rlcli.maths.health import effective_sample_size
from rlcli.maths.products import times

KINDS = ("trajectory", "per_decision", "prefix", "per_step", "none")
"""ρ_{0:end} for all steps of a segment; ρ_{0:t} for reward t; ρ_{0:t} for step t; ρ_t for step t; 1."""
BY_SEGMENT = ("trajectory", "per_decision")
"""Kinds of which a segment, not a step, is one sample."""


class Segments(NamedTuple):
    """How a rollout divides; each [T, ..., N]."""

    last: Tensor
    """Whether the step is its segment's last."""
    age: Tensor
    """int64: steps since the segment's first."""
    counted: Tensor
    """Whether the step's segment counts; what does not count has no part in any sum, mean or figure."""

    @property
    def total(self) -> Tensor:
        """S, [...] int64."""
        return _by_run(self.last & self.counted).sum(-1)


def segments(ended: Tensor, longest: int | None = None) -> Segments:
    """The segments of a rollout from its ends of either kind.

    With `longest`, the most steps a segment can have, only those count that began early enough to end within
    the rollout however long they become. Which these are does not depend on what comes after: to take all
    that did end would prefer the short.
    """
    last = ended.clone()
    last[-1] = True
    first = torch.ones_like(last)
    first[1:] = last[:-1]
    clock = torch.arange(len(ended), device=ended.device).view(-1, *[1] * (ended.dim() - 1))
    begun = torch.where(first, clock, 0).cummax(0).values
    counted = torch.ones_like(last) if longest is None else begun <= len(ended) - longest
    return Segments(last, clock - begun, counted)


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
    return _spread(prefixes, parts.last) if kind == "trajectory" else prefixes


def sqrt_cap(kind: str, parts: Segments) -> Tensor:
    """√n, [..., 1] float64: n the samples of a run, segments or steps as the kind has it.

    Source: Ionides 2008, 'Truncated Importance Sampling', section 2: the cap that balances bias and variance.
    """
    return _by_run(_counted(kind, parts)).double().sum(-1, keepdim=True).sqrt()


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
        log = log - _at_age(log_scale, parts.age)
    elif self_normalise:
        counted = _by_run(_counted(kind, parts))
        alive = torch.where(counted, _by_run(log), -math.inf)
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
    counted = _by_run(_counted(weights.kind, weights.segments))
    log = torch.where(counted, _by_run(weights.log).double(), -math.inf)
    count = counted.double().sum(-1, keepdim=True)
    weight = log.exp()
    centred = torch.where(counted, weight - weight.sum(-1, keepdim=True) / count, 0.0)
    share = effective_sample_size(log) * log.shape[-1] / count.squeeze(-1)
    return {
        "ess": share.clamp(max=1.0),
        "max": weight.amax(-1),
        "variance": (centred * centred).sum(-1) / count.squeeze(-1),
    }


def gradient_coefficients(
    weights: Weights,
    rewards: Tensor,
    advantages: Tensor,
    gamma: Tensor,
    baseline: Tensor | None,
    *,
    discount_states: bool,
) -> Tensor:
    """What each step's ∇ log π(a_t|s_t) is multiplied by, [T, ..., N]; constants of the objective's gradient.

    The estimate of ∇J is the sum over all steps divided by S. t counts from the segment's start, w are the
    weights, b the baseline V(s) (0 without one); `rewards` include the value of a segment's future
    (`bootstrapped_rewards`); `advantages` are G_t - b, or any A_t, and are read by the last three alone:

    - trajectory: w (Σ_t' γ^t' r_t' - b(s_0)). Unbiased.
    - per_decision: Σ_{t' ≥ t} γ^t' w_t' r_t' - γ^t w_t b(s_t). Unbiased.
    - prefix: γ^t w_t A_t. Biased: A_t has the returns of μ.
    - per_step: γ^t w_t A_t. Biased by those and by the states μ visits.
    - none: γ^t A_t. Biased by all of it, and by the baseline too.

    A baseline adds no bias to the first four, for E_μ[ρ_{0:t} ∇ log π_t | s_t] = 0; behind a cap it does, as
    the cap itself does. `discount_states=False` leaves γ^t out and discounts rewards from t on, as most
    implementations do (biased unless γ = 1); it changes nothing for `trajectory`, which has no rewards-to-go.

    Self-normalised, they are the gradient of Σ w x / Σ w, the normaliser moving with π: a weighted mean over
    the batch is subtracted as a baseline, of returns or advantages, or of the rewards of each age
    (`per_decision`; with a `baseline` its normaliser is held constant, as it would be a second one). Capped
    weights are constants: a cap stops no gradient. At π = μ all kinds are score functions.
    """
    weight, parts = weights.log.exp(), weights.segments
    discounts = None
    if discount_states or weights.kind == "trajectory":
        discounts = _discounts(gamma, weight, parts)
    if weights.kind == "per_decision":
        return _per_decision(weights, rewards, gamma, baseline, discounts)
    if discounts is not None and weights.kind == "trajectory":
        totals, _ = discounted_returns(
            discounts * rewards, parts.last, torch.ones_like(weight[0]), torch.zeros_like(weight[0])
        )
        returns = _spread(totals, parts.last)
        outcome = returns if baseline is None else returns - _at_start(baseline, parts)
    else:
        outcome = advantages
    if weights.normalised:
        counted = _by_run(_counted(weights.kind, parts))
        total = torch.where(counted, _by_run(times(weight, outcome)), 0.0).sum(-1, keepdim=True)
        outcome = outcome - total / counted.to(weight.dtype).sum(-1, keepdim=True)
    coefficients = times(weight, outcome)
    if discounts is not None and weights.kind != "trajectory":
        coefficients = times(coefficients, discounts)
    return torch.where(parts.counted, coefficients, 0.0)


def outcomes(
    kind: str,
    rewards: Tensor,
    advantages: Tensor,
    gamma: Tensor,
    baseline: Tensor | None,
    parts: Segments,
    *,
    discount_states: bool,
) -> Tensor:
    """What the objective sums up at π = μ, step by step, [T, ..., N]; arguments as `gradient_coefficients`.

    Of a segment G - b(s_0), as its discounted rewards and, at its first step, -b; else A_t, times γ^t where
    states are discounted.
    """
    discounts = _discounts(gamma, rewards, parts)
    if kind in BY_SEGMENT:
        found = discounts * rewards
        if baseline is not None:
            found = found - torch.where(parts.age == 0, baseline, 0.0)
    else:
        found = discounts * advantages if discount_states else advantages
    return torch.where(parts.counted, found, 0.0)


def _per_decision(
    weights: Weights,
    rewards: Tensor,
    gamma: Tensor,
    baseline: Tensor | None,
    discounts: Tensor | None,
) -> Tensor:
    """The coefficients of `per_decision`, with whichever baseline it takes; times `discounts` if given."""
    parts, weight = weights.segments, weights.log.exp()
    earned = times(weight, rewards)
    if weights.log_scale is not None and baseline is None:
        means = _means_by_age(earned, parts)
        earned = earned - weight * _at_age(means, parts.age)
        # An ended segment still weighs in the mean of later ages, where its own reward is 0.
        later = _later_means(means, weights.log_scale, gamma)
        earned = earned - torch.where(parts.last, gamma * weight * _at_age(later, parts.age), 0.0)
    coefficients = returns_to_go(earned, parts.last, gamma)
    if baseline is not None:
        coefficients = coefficients - times(weight, baseline)
    if discounts is not None:
        coefficients = times(coefficients, discounts)
    return torch.where(parts.counted, coefficients, 0.0)


def _later_means(means: Tensor, log_scale: Tensor, gamma: Tensor) -> Tensor:
    """M_a = Σ_{k>a} γ^{k-a-1} r̄_k W_a / W_k, [..., T]: `means` r̄ and the scales W of each age, [..., T]."""
    shrunk = torch.where(log_scale.isfinite(), log_scale, 0.0)
    fading = (shrunk[..., :-1] - shrunk[..., 1:]).exp().unbind(-1)
    total = torch.zeros_like(means[..., 0])
    found = [total]
    for fade, mean in zip(reversed(fading), reversed(means[..., 1:].unbind(-1)), strict=True):
        total = fade * (mean + gamma.squeeze(-1) * total)
        found.append(total)
    return torch.stack(found[::-1], -1)


def _counted(kind: str, parts: Segments) -> Tensor:
    """Which steps' weights are the samples: the last of each segment that counts, or all its steps."""
    return parts.last & parts.counted if kind in BY_SEGMENT else parts.counted


def _by_run(values: Tensor) -> Tensor:
    """[T, ..., N] -> contiguous [..., T N]."""
    return values.movedim(0, -2).flatten(-2).contiguous()


def _spread(values: Tensor, last: Tensor) -> Tensor:
    """Each segment's value at its last step, at all its steps."""
    held = torch.zeros_like(values[0])
    found = []
    for value, end in zip(reversed(values.unbind(0)), reversed(last.unbind(0)), strict=True):
        held = torch.where(end, value, held)
        found.append(held)
    return torch.stack(found[::-1])


def _at_start(values: Tensor, parts: Segments) -> Tensor:
    """Each segment's value at its first step, at all its steps."""
    clock = torch.arange(len(values), device=values.device).view(-1, *[1] * (values.dim() - 1))
    return values.gather(0, clock - parts.age)


def _discounts(gamma: Tensor, like: Tensor, parts: Segments) -> Tensor:
    """γ^age, by products: elementwise, and γ = 0 gives 1 at age 0."""
    discount = torch.ones_like(like[0])
    found = []
    for end in parts.last.unbind(0):
        found.append(discount)
        discount = torch.where(end, 1.0, gamma * discount)
    return torch.stack(found)


def _at_age(by_age: Tensor, age: Tensor) -> Tensor:
    """Entries of [..., T] at the ages [T, ..., N]."""
    return by_age.gather(-1, _by_run(age)).view(*age.shape[1:-1], len(age), -1).movedim(-2, 0)


def _means_by_age(values: Tensor, parts: Segments) -> Tensor:
    """Sums of [T, ..., N] over the segments that reach each age, divided by all S: [..., T]."""
    by_run, age = _by_run(torch.where(parts.counted, values, 0.0)), _by_run(parts.age)
    sums = by_run.new_zeros(*by_run.shape[:-1], len(values)).scatter_add(-1, age, by_run)
    return sums / parts.total.to(values.dtype).unsqueeze(-1)


def _log_means_by_age(log: Tensor, parts: Segments) -> Tensor:
    """log of the mean weight over all S segments at each age, ended ones keeping their last weight; [..., T].

    -inf at no age: a segment counts at every age, ended or not.
    """
    by_run, age = _by_run(torch.where(parts.counted, log, -math.inf)), _by_run(parts.age)
    last, steps = _by_run(parts.last), len(log)
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
