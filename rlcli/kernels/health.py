"""Health figures of a policy against a reference in C: those of `maths.health`, of all runs in one call.

Shapes: R runs, B samples.
"""

from __future__ import annotations

from ctypes import c_int, c_int64

import torch
from torch import Tensor

from rlcli.kernels.arguments import POINTER, optional
from rlcli.kernels.distributions import ExactPolicy
from rlcli.kernels.library import function

FIGURES = (
    "ratio_mean", "ratio_min", "ratio_max", "clip_fraction", "ess", "kl_ref_pi", "kl_ref_pi_max", "kl_pi_ref",
    "kl_pi_ref_max", "kl_k1", "kl_k3", "tv_sampled", "tv_bound", "ratio_p01", "ratio_p50", "ratio_p99", "tv",
    "clip_fraction_own", "clip_active",
)  # fmt: skip
"""Rows of what C fills, in the order of health.h."""
HEALTH = FIGURES[: FIGURES.index("tv")]
CLIP = ("clip_fraction_own", "clip_active")
DIVERGENCE = ("kl_ref_pi", "kl_pi_ref", "ess", "clip_fraction")
ROW = {name: row for row, name in enumerate(FIGURES)}


def divergence(
    reference: ExactPolicy, policy: ExactPolicy, weights: Tensor | None = None
) -> dict[str, Tensor]:
    """The figures of each epoch, each [R]; `weights` float64 [R, B] as in `maths.health.divergence`."""
    found = _compare(reference, policy, weights, None, None, full=False)
    return {name: found[ROW[name]] for name in DIVERGENCE}


def health(
    reference: ExactPolicy,
    policy: ExactPolicy,
    weights: Tensor | None = None,
    advantages: Tensor | None = None,
    clip: Tensor | None = None,
) -> dict[str, Tensor]:
    """Every figure, each [R]: `maths.health.health` and, with float32 `clip` [R, 1], `clip_figures`.

    `advantages` [R, B] are float32.
    """
    found = _compare(reference, policy, weights, advantages if clip is not None else None, clip, full=True)
    names = (*HEALTH, *(("tv",) if policy.has_tv else ()), *(CLIP if clip is not None else ()))
    return {name: found[ROW[name]] for name in names}


def mean_kl(reference: ExactPolicy, policy: ExactPolicy) -> Tensor:
    """The mean exact KL(reference||policy), [R]."""
    _check(reference, policy)
    mean = torch.empty(policy.runs, dtype=torch.float64)
    function("mean_kl", *(c_int64,) * 4, POINTER, POINTER, c_int64, POINTER)(
        policy.runs,
        policy.samples,
        policy.kind.family,
        policy.outcomes,
        reference.room.data_ptr(),
        policy.room.data_ptr(),
        0,
        mean.data_ptr(),
    )
    return mean


def _compare(
    reference: ExactPolicy,
    policy: ExactPolicy,
    weights: Tensor | None,
    advantages: Tensor | None,
    clip: Tensor | None,
    *,
    full: bool,
) -> Tensor:
    """Figures [len(FIGURES), R]."""
    _check(reference, policy)
    runs, samples = policy.runs, policy.samples
    found = torch.empty(len(FIGURES), runs, dtype=torch.float64)
    function("compare", *(c_int64,) * 5, *(POINTER,) * 5, c_int64, POINTER, result=c_int)(
        runs,
        samples,
        policy.kind.family,
        policy.outcomes,
        policy.has_tv,
        reference.room.data_ptr(),
        policy.room.data_ptr(),
        optional("weights", weights, torch.float64, (runs, samples)),
        optional("advantages", advantages, torch.float32, (runs, samples)),
        optional("clip", clip, torch.float32, (runs, 1)),
        full,
        found.data_ptr(),
    )
    return found


def _check(reference: ExactPolicy, policy: ExactPolicy) -> None:
    if reference[:3] != policy[:3]:
        raise ValueError("reference and policy: expected two policies on one batch")
