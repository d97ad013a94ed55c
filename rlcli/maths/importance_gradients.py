"""Policy gradients estimated with importance weights.

Shapes: [T, ..., N], time-major; N environments of one run, the axes between (none, or R) are runs. What
there is one of for a run is [R, 1] as an argument and [R] as a result. A segment is what one environment did
from the later of episode and rollout start to the earlier of their ends; a run has S of them.
Segments that do not count (`segments`) are as if they were not there.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rlcli.maths.estimators import discounted_returns, returns_to_go
from rlcli.maths.importance import BY_SEGMENT, Weights, sample_steps
from rlcli.maths.products import times
from rlcli.maths.segments import Segments, at_age, at_start, means_by_age, per_run, spread


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
        returns = spread(totals, parts.last)
        outcome = returns if baseline is None else returns - at_start(baseline, parts)
    else:
        outcome = advantages
    if weights.normalised:
        counted = per_run(sample_steps(weights.kind, parts))
        total = torch.where(counted, per_run(times(weight, outcome)), 0.0).sum(-1, keepdim=True)
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
        means = means_by_age(earned, parts)
        earned = earned - weight * at_age(means, parts.age)
        # An ended segment still weighs in the mean of later ages, where its own reward is 0.
        later = _later_means(means, weights.log_scale, gamma)
        earned = earned - torch.where(parts.last, gamma * weight * at_age(later, parts.age), 0.0)
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


def _discounts(gamma: Tensor, like: Tensor, parts: Segments) -> Tensor:
    """γ^age, by products: elementwise, and γ = 0 gives 1 at age 0."""
    discount = torch.ones_like(like[0])
    found = []
    for end in parts.last.unbind(0):
        found.append(discount)
        discount = torch.where(end, 1.0, gamma * discount)
    return torch.stack(found)
