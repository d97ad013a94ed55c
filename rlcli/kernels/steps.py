"""Figures of an update's gradient steps in C, and of the step from its first parameters to its last.

Shapes: R runs, S gradient steps, P parameters, Q those of a part.
"""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import Array, Structure, addressof, byref, c_int64, c_void_p
from typing import Any, ClassVar

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


class _Struct(Structure):
    """The struct `Steps` of steps.h."""

    _fields_: ClassVar[Any] = [
        *((name, c_int64) for name in ("columns", "steps", "epochs", "settings")),
        *((name, c_void_p) for name in ("column", "accepted", "epoch", "spent", "budget", "setting")),
    ]


def step_figures(
    columns: Sequence[Tensor],
    accepted: Tensor,
    epochs: Sequence[Tensor],
    spent: Tensor,
    budget: Tensor,
    settings: Sequence[Tensor],
) -> Tensor:
    """Figures [K + 4 + L, R] float64 of the steps taken; NaN where they are not finite.

    The mean of each of K columns [S, R] float32, the largest of the last, the number of steps and of epochs,
    spent/budget, and L settings [R, 1] float32. `accepted` [S, R] and `epochs`, each [R], are masks; `spent`
    and `budget` [R] are float64.
    """
    steps, runs = shape = tuple(accepted.shape)
    lists = (
        _places([pointer("a column", column, torch.float32, shape) for column in columns]),
        _places([pointer("an epoch", epoch, torch.bool, (runs,)) for epoch in epochs]),
        _places([pointer("a setting", setting, torch.float32, (runs, 1)) for setting in settings]),
    )
    given = _Struct(
        len(columns), steps, len(epochs), len(settings), addressof(lists[0]),
        pointer("accepted", accepted, torch.bool, shape), addressof(lists[1]),
        pointer("spent", spent, torch.float64, (runs,)), pointer("budget", budget, torch.float64, (runs,)),
        addressof(lists[2]),
    )  # fmt: skip
    found = torch.empty(len(columns) + 4 + len(settings), runs, dtype=torch.float64)
    function("step_figures", c_void_p, c_int64, POINTER)(byref(given), runs, found.data_ptr())
    return found


def _places(addresses: Sequence[int]) -> Array[c_void_p]:
    return (c_void_p * len(addresses))(*addresses)


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
