"""Figures of an update besides health in C: gain of an objective, explained variance, sums, checks.

Shapes: R runs, B samples, T time, N environments of one run, D policy outputs. Each result is [R].
"""

from __future__ import annotations

from ctypes import c_int64

import torch
from torch import Tensor

from rlcli.kernels.arguments import POINTER, optional, pointer
from rlcli.kernels.learn import CLIPPED, SPO
from rlcli.kernels.library import function


def gain(
    surrogate: int,
    before: Tensor,
    after: Tensor,
    base: Tensor,
    advantages: Tensor,
    clip: Tensor,
    weights: Tensor | None = None,
) -> Tensor:
    """The mean growth of a surrogate of `learn` between log-probabilities of the actions.

    `before`, `after` and `base` (the anchor's) are float64 [R, B]; `advantages` and `weights` float32 [R, B],
    `clip` [R, 1].
    """
    runs, samples = advantages.shape
    mean = torch.empty(runs, dtype=torch.float64)
    function("gain", *(c_int64,) * 3, *(POINTER,) * 7)(
        runs,
        samples,
        surrogate,
        pointer("before", before, torch.float64, (runs, samples)),
        pointer("after", after, torch.float64, (runs, samples)),
        pointer("base", base, torch.float64, (runs, samples)),
        pointer("advantages", advantages, torch.float32, (runs, samples)),
        pointer("clip", clip, torch.float32, (runs, 1)) if surrogate in (CLIPPED, SPO) else None,
        optional("weights", weights, torch.float32, (runs, samples)),
        mean.data_ptr(),
    )
    return mean


def explained_variance(predictions: Tensor, targets: Tensor) -> Tensor:
    """1 - Var[target - prediction]/Var[target] of float32 [R, B]; NaN when targets are constant."""
    runs, samples = targets.shape
    found = torch.empty(runs, dtype=torch.float64)
    function("explained_variance", c_int64, c_int64, *(POINTER,) * 3)(
        runs,
        samples,
        pointer("predictions", predictions, torch.float32, (runs, samples)),
        pointer("targets", targets, torch.float32, (runs, samples)),
        found.data_ptr(),
    )
    return found


def acting_error(acted: Tensor, recomputed: Tensor) -> Tensor:
    """The largest relative difference of outputs while acting [T, R, N, D] and in the batch [R, T N, D]."""
    steps, runs, envs, width = acted.shape
    error = torch.empty(runs)
    function("acting_error", *(c_int64,) * 3, *(POINTER,) * 3)(
        steps,
        runs,
        envs * width,
        pointer("acted", acted, torch.float32, (steps, runs, envs, width)),
        pointer("recomputed", recomputed, torch.float32, (runs, steps * envs, width)),
        error.data_ptr(),
    )
    return error


def unit_ratios(initial: Tensor, acting: Tensor) -> Tensor:
    """Whether all log-probabilities [R, B] of two policies are equal, or a difference is not finite."""
    runs, samples = acting.shape
    sound = torch.empty(runs, dtype=torch.bool)
    function("unit_ratios", c_int64, c_int64, *(POINTER,) * 3)(
        runs,
        samples,
        pointer("initial", initial, torch.float32, (runs, samples)),
        pointer("acting", acting, torch.float32, (runs, samples)),
        sound.data_ptr(),
    )
    return sound


def clip_budget(clip: Tensor) -> Tensor:
    """-½ ln(1 - ε²) of float32 ε [R, 1], in float64: `maths.surrogates.clip_budget`."""
    runs = len(clip)
    budget = torch.empty(runs, dtype=torch.float64)
    function("clip_budget", c_int64, POINTER, POINTER)(
        runs, pointer("clip", clip, torch.float32, (runs, 1)), budget.data_ptr()
    )
    return budget
