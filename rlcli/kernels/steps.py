"""Figures of an update's gradient steps in C, and of the step from its first parameters to its last.

Shapes: R runs, S gradient steps, P parameters, Q those of a part.
"""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import c_int64, c_void_p

import torch
from torch import Tensor

from rlcli.kernels.arguments import POINTER, optional, pointer
from rlcli.kernels.learn import FIGURES
from rlcli.kernels.library import function

COLUMNS = ("policy", "value", "entropy", "penalty", "total", "norm")
"""What C makes of an epoch's figures, in the order of steps.h."""


def step_losses(figures: Tensor, coefficients: Tensor) -> tuple[Tensor, Tensor]:
    """Losses and gradient norms [6, S, R] float32 by `COLUMNS`, and the mask [S, R] of steps taken.

    `figures` [S, R, 7] are those of `Lesson.epoch`, `coefficients` [2, R] of the value loss and the entropy.
    """
    steps, runs = figures.shape[:2]
    losses, accepted = torch.empty(len(COLUMNS), steps, runs), torch.empty(steps, runs, dtype=torch.bool)
    function("step_losses", c_int64, c_int64, *(POINTER,) * 4)(
        steps,
        runs,
        pointer("figures", figures, torch.float64, (steps, runs, len(FIGURES))),
        pointer("coefficients", coefficients, torch.float32, (2, runs)),
        losses.data_ptr(),
        accepted.data_ptr(),
    )
    return losses, accepted


def over_steps(columns: Sequence[Tensor], accepted: Tensor) -> Tensor:
    """Over the steps taken, [K + 2, R] float64: each of K columns' mean, the last one's maximum, the count.

    Columns are float32 [S, R], `accepted` is a mask [S, R].
    """
    steps, runs = shape = tuple(accepted.shape)
    places = [pointer("a column", column, torch.float32, shape) for column in columns]
    found = torch.empty(len(places) + 2, runs, dtype=torch.float64)
    function("over_steps", *(c_int64,) * 3, *(POINTER,) * 3)(
        len(places),
        steps,
        runs,
        (c_void_p * len(places))(*places),
        pointer("accepted", accepted, torch.bool, shape),
        found.data_ptr(),
    )
    return found


def first_order(gradient: Tensor, part: slice, before: Tensor, after: Tensor, order: Tensor | None) -> Tensor:
    """The sum [R] of gradient times change over the parameters of a part, in float64.

    gradient [R, Q]; before and after [R, P]; the sum has the order of places `order` [P], zeros included.
    """
    runs, parameters = before.shape
    size, found = part.stop - part.start, torch.empty(runs, dtype=torch.float64)
    if not 0 <= part.start <= part.stop <= parameters:
        raise ValueError(f"a part from {part.start} to {part.stop} of {parameters} parameters")
    room = torch.empty(parameters, dtype=torch.float64)
    function("first_order", *(c_int64,) * 4, *(POINTER,) * 6)(
        runs,
        parameters,
        part.start,
        size,
        pointer("gradient", gradient, torch.float32, (runs, size)),
        pointer("before", before, torch.float32, (runs, parameters)),
        pointer("after", after, torch.float32, (runs, parameters)),
        optional("order", order, torch.int64, (parameters,)),
        room.data_ptr(),
        found.data_ptr(),
    )
    return found


def all_finite(values: Tensor) -> Tensor:
    """Whether every number of a row is finite, [R], of float32 [R, K] in any layout."""
    runs, count = values.shape
    if values.dtype != torch.float32 or not values.is_cpu:
        raise ValueError(f"values: expected float32 on the CPU, got {values.dtype} on {values.device}")
    found = torch.empty(runs, dtype=torch.bool)
    function("all_finite", c_int64, c_int64, POINTER, c_int64, c_int64, POINTER)(
        runs, count, values.data_ptr(), *values.stride(), found.data_ptr()
    )
    return found
