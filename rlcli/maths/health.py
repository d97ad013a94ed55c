"""Health figures of a policy against a reference (ratios, ESS, KL, TV): one definition for every algorithm.

Shapes: batches are [R, B] or [B]; every figure reduces the last axis, in float64. ρ = π/ref on the
actions taken, l = log ρ. The reference is the behaviour policy μ or the anchor of the update.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rlcli.maths.bounds import bretagnolle_huber, pinsker
from rlcli.maths.distribution import Distribution
from rlcli.maths.products import times

CLIP_REFERENCE = 0.2
"""ε of `clip_fraction`, the same for every algorithm."""
QUANTILES = {"p01": 0.01, "p50": 0.5, "p99": 0.99}
KL_ROUNDING = 1e-6
"""An exact KL this far below 0 is rounding; farther below is an error."""
OUTWARD = 1.0 + 1e-12
"""A bound is rounded up: for two even actions Pinsker's is an equality in the limit of small moves."""
LOST = 1e-14
"""What rounding may take from an exact KL, in shares of the total variation (`small_moves`)."""


def effective_sample_size(log_ratio: Tensor, weights: Tensor | None = None) -> Tensor:
    """(Σρ)² / (N Σρ²), in (0, 1]; exactly 1 when all ratios are equal.

    Under weights w, which turn the samples into samples of the reference: (Σwρ)² / (Σw Σwρ²). Ratios are
    taken relative to the largest, so that no exponential overflows.
    """
    ratio = (log_ratio - log_ratio.amax(-1, keepdim=True)).exp()
    if weights is None:
        total = ratio.sum(-1)
        share = total * total / (log_ratio.shape[-1] * (ratio * ratio).sum(-1))
    else:
        total = (weights * ratio).sum(-1)
        share = total * total / (weights.sum(-1) * (weights * ratio * ratio).sum(-1))
    return share.clamp(max=1.0)


def nonnegative(kl: Tensor) -> Tensor:
    """Exact divergences with rounding below 0 removed; NaN where one is below -1e-6, which is an error."""
    return torch.where(kl < -KL_ROUNDING, math.nan, kl.clamp(min=0.0))


def quantile(values: Tensor, level: float) -> Tensor:
    """The smallest value v with at least a share `level` of the last axis ≤ v."""
    return _at_level(values.sort(-1).values, level)


def explained_variance(predictions: Tensor, targets: Tensor) -> Tensor:
    """1 - Var[target - prediction] / Var[target] over the last axis; NaN when targets are constant."""
    residual = targets - predictions
    spread = _variance(targets)
    return torch.where(spread > 0.0, 1.0 - _variance(residual) / spread, math.nan)


def divergence(
    reference: Distribution,
    policy: Distribution,
    log_ratio: Tensor,
    weights: Tensor | None = None,
) -> dict[str, Tensor]:
    """The figures of each epoch: both exact KLs, ESS, clip fraction; each [R].

    `weights` [R, B] turn samples of μ into samples of the reference (anchor/μ under lag).
    """
    ratio = log_ratio.exp()
    apart = reference.divergences(policy)
    return {
        "kl_ref_pi": nonnegative(apart.forward).mean(-1),
        "kl_pi_ref": nonnegative(apart.backward).mean(-1),
        "ess": effective_sample_size(log_ratio, weights),
        "clip_fraction": _mean(((ratio - 1.0).abs() > CLIP_REFERENCE).double(), weights),
    }


def health(
    reference: Distribution,
    policy: Distribution,
    log_ratio: Tensor,
    weights: Tensor | None = None,
) -> dict[str, Tensor]:
    """Every figure that compares a policy with a reference; distributions in float64, each figure [R]."""
    ratio = log_ratio.exp()
    apart = reference.divergences(policy)
    forward, backward = nonnegative(apart.forward), nonnegative(apart.backward)
    figures = {
        "ratio_mean": _mean(ratio, weights),
        "ratio_min": ratio.amin(-1),
        "ratio_max": ratio.amax(-1),
        "clip_fraction": _mean(((ratio - 1.0).abs() > CLIP_REFERENCE).double(), weights),
        "ess": effective_sample_size(log_ratio, weights),
        "kl_ref_pi": forward.mean(-1),
        "kl_ref_pi_max": forward.amax(-1),
        "kl_pi_ref": backward.mean(-1),
        "kl_pi_ref_max": backward.amax(-1),
        "kl_k1": _mean(-log_ratio, weights),
        "kl_k3": _mean(torch.expm1(log_ratio) - log_ratio, weights),
        "tv_sampled": 0.5 * _mean((ratio - 1.0).abs(), weights),
        "tv_bound": _tv_bound(forward, apart.tv).mean(-1),
    }
    ordered = ratio.sort(-1)
    cumulative = None if weights is None else _cumulative(weights.gather(-1, ordered.indices))
    for name, level in QUANTILES.items():
        figures[f"ratio_{name}"] = _at_level(ordered.values, level, cumulative)
    if apart.tv is not None:
        figures["tv"] = apart.tv.mean(-1)
    return figures


def clip_figures(
    log_ratio: Tensor, advantages: Tensor, clip: Tensor, weights: Tensor | None = None
) -> dict[str, Tensor]:
    """Figures of an algorithm that clips: shares of samples outside its range, and where the clip is active.

    `clip` is ε [R, 1], or ε below 1 and ε' above it [R, 2]; `advantages` are whitened over the batch. The
    clip is active for a sample when (ρ > 1+ε' and A > 0) or (ρ < 1-ε and A < 0).
    """
    excess, below, above = log_ratio.exp() - 1.0, clip[..., :1], clip[..., -1:]
    active = ((excess > above) & (advantages > 0.0)) | ((excess < -below) & (advantages < 0.0))
    return {
        "clip_fraction_own": _mean(((excess > above) | (excess < -below)).double(), weights),
        "clip_active": _mean(active.double(), weights),
    }


def _tv_bound(kl: Tensor, tv: Tensor | None) -> Tensor:
    """The smaller of two bounds of the total variation at each state, for the KL and what rounding took."""
    most = kl if tv is None else kl + LOST * tv
    return OUTWARD * torch.minimum(pinsker(most), bretagnolle_huber(most))


def _variance(values: Tensor) -> Tensor:
    centred = values - values.mean(-1, keepdim=True)
    return (centred * centred).mean(-1)


def _mean(values: Tensor, weights: Tensor | None) -> Tensor:
    """The mean over the last axis, self-normalised when weighted."""
    if weights is None:
        return values.mean(-1)
    return times(values, weights).sum(-1) / weights.sum(-1)


def _cumulative(weights: Tensor) -> Tensor:
    total = weights.cumsum(-1)
    return total / total[..., -1:]


def _at_level(ordered: Tensor, level: float, cumulative: Tensor | None = None) -> Tensor:
    if cumulative is None:
        return ordered[..., math.ceil(level * ordered.shape[-1]) - 1]
    index = (cumulative < level).sum(-1, keepdim=True).clamp(max=ordered.shape[-1] - 1)
    return ordered.gather(-1, index).squeeze(-1)
