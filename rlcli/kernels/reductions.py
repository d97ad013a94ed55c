"""Means over samples and over gradient steps, and what else of an update is small, in C.

Shapes: R runs, B samples, S gradient steps, K figures.
"""

from __future__ import annotations

from ctypes import c_long
from typing import NamedTuple

import torch
from torch import Tensor

from rlcli.kernels.arguments import POINTER, pointer
from rlcli.kernels.elementary import elementary
from rlcli.kernels.library import function

SUFFIXES = {torch.float32: "f", torch.float64: "d"}


class StepMeans(NamedTuple):
    """Figures of the gradient steps of an update that were accepted; float64."""

    means: Tensor
    """[R, K]; NaN where there were none."""
    largest: Tensor
    """[R, K]; -inf where there were none."""
    counts: Tensor
    """[R]."""


def step_means(figures: Tensor, accepted: Tensor) -> StepMeans:
    """Of figures [S, R, K] float64 of steps, `accepted` [S, R]; the steps are summed one after the other."""
    steps, runs, count = figures.shape
    figures, accepted = figures.contiguous(), accepted.contiguous()
    found = StepMeans(
        torch.empty(runs, count, dtype=torch.float64),
        torch.empty(runs, count, dtype=torch.float64),
        torch.empty(runs, dtype=torch.float64),
    )
    function("step_means", c_long, c_long, c_long, *(POINTER,) * 5)(
        steps,
        runs,
        count,
        pointer("figures", figures, torch.float64, (steps, runs, count)),
        pointer("accepted", accepted, torch.bool, (steps, runs)),
        *(part.data_ptr() for part in found),
    )
    return found


def means(samples: Tensor) -> Tensor:
    """Means over the last axis of float32 or float64, in float64."""
    if samples.dtype not in SUFFIXES:
        raise ValueError(f"samples: expected float32 or float64, got {samples.dtype}")
    samples, count = samples.contiguous(), samples.shape[-1]
    out = torch.empty(samples.shape[:-1], dtype=torch.float64)
    function(f"means_{SUFFIXES[samples.dtype]}", c_long, c_long, POINTER, POINTER)(
        out.numel(), count, pointer("samples", samples, samples.dtype, tuple(samples.shape)), out.data_ptr()
    )
    return out


def capped_ratios(log_prob: Tensor, log_behaviour: Tensor, cap: Tensor) -> Tensor:
    """min(cap, π/μ) of log-probabilities [R, B] float32, `cap` [R, 1]: weights of samples under lag."""
    runs, samples = shape = tuple(log_prob.shape)
    above, below, cap = log_prob.contiguous(), log_behaviour.contiguous(), cap.contiguous()
    out = torch.empty(shape)
    function("capped_ratios", c_long, c_long, *(POINTER,) * 4)(
        runs,
        samples,
        pointer("log_prob", above, torch.float32, shape),
        pointer("log_behaviour", below, torch.float32, shape),
        pointer("cap", cap, torch.float32, (runs, 1)),
        out.data_ptr(),
    )
    return out


def clip_budget(clip: Tensor) -> Tensor:
    """-½ ln(1 - ε²), elementwise in float64: `maths.surrogates.clip_budget`."""
    squares = (-clip * clip).contiguous().numpy()
    return -0.5 * torch.from_numpy(elementary("log1p", squares))
