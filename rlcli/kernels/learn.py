"""Epochs of gradient steps of R runs in C: losses, gradients, clipping, optimiser.

Shapes: R runs, B samples of a batch, M minibatches, D policy outputs, A factors of an action, Q parameters.
"""

from __future__ import annotations

from ctypes import Structure, byref, c_int, c_int64, c_void_p
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rlcli.kernels.arguments import optional, pointer, rows
from rlcli.kernels.library import function
from rlcli.kernels.network import Description

CATEGORICAL, BERNOULLI, GAUSSIAN = range(3)
CLIPPED, RATIO, SCORE, SPO = range(4)
NO_PENALTY, FROM_ANCHOR, TO_ANCHOR = range(3)
ADAM, RMSPROP, SGD = range(3)
"""As slopes.h and learn.h number them."""

NUMBERS = (
    "clip", "entropy_coef", "value_coef", "max_grad_norm", "learning_rate", "adam_beta1", "adam_beta2",
    "adam_eps", "rmsprop_decay", "rmsprop_eps", "beta", "target_kl", "value_clip",
)  # fmt: skip
"""Columns of the numbers of a run, in the order of slopes.h."""
FIGURES = ("objective", "error", "entropy", "penalty", "k3", "norm", "accepted")


class ActionKind(NamedTuple):
    """How the outputs of a policy are read."""

    family: int
    sizes: tuple[int, ...]
    """Choices of each factor; of switches and real numbers one entry a column."""

    @property
    def columns(self) -> int:
        """D."""
        return sum(self.sizes)

    @property
    def address(self) -> int:
        """Of the sizes, as int64."""
        return _sizes(self)[1]


@cache
def _sizes(kind: ActionKind) -> tuple[npt.NDArray[np.int64], int]:
    """The sizes as C reads them, which stay where they are, and their address."""
    sizes = np.array(kind.sizes or (0,), np.int64)
    return sizes, int(sizes.ctypes.data)


class Samples(NamedTuple):
    """What is learned from; [R, B, ...], contiguous."""

    inputs: Tensor
    actions: Tensor | None
    advantages: Tensor | None
    targets: Tensor | None
    log_anchor: Tensor | None
    values: Tensor | None
    weights: Tensor | None
    anchor_outputs: Tensor | None
    anchor_free: Tensor | None
    """[R, 1, F]."""


@dataclass(frozen=True)
class Rule:
    """What every epoch of an update has in common."""

    net: Description
    actions: ActionKind | None
    """None: no policy is learned."""
    surrogate: int
    penalty: int
    optimiser: int
    minibatches: int
    sums: bool
    whitens: bool
    judges: bool
    """Whether the value function is learned."""
    stops: bool
    """Whether runs stop by k3 before a step."""
    entropies: bool

    def __post_init__(self) -> None:
        outputs, free = self.net.outputs, self.net.free_width
        valued = any(sum(head.columns for head in tower.heads) > tower.outputs for tower in self.net.towers)
        columns = 0 if self.actions is None else self.actions.columns
        if columns != outputs or self.judges != valued:
            raise ValueError("the losses do not fit the network's heads")
        if self.actions is not None and self.actions.family == GAUSSIAN and free != columns:
            raise ValueError(f"{columns} deviations are needed, not {free}")


class _Struct(Structure):
    _fields_: ClassVar[Any] = [
        *((name, c_int64) for name in (
            "samples", "minibatches", "columns", "factors", "family", "surrogate", "penalty", "optimiser",
            "sums", "whitens", "acts", "judges", "stops", "entropies",
        )),
        *((name, c_void_p) for name in (
            "sizes", "inputs", "advantages", "targets", "log_anchor", "values", "weights", "anchor_outputs",
            "anchor_free", "choices", "moves", "order",
        )),
    ]  # fmt: skip


class Lesson:
    """What the epochs of a rule learn from: samples that are checked once and read by each.

    Raises:
        ValueError: an argument has another type or shape.
    """

    def __init__(self, rule: Rule, samples: Samples) -> None:
        runs, batch, inputs = samples.inputs.shape
        if batch % rule.minibatches or inputs != rule.net.inputs:
            raise ValueError(f"{batch} samples of {inputs} inputs do not fit")
        self._rule, self._samples, self._runs, self._batch = rule, samples, runs, batch
        self._struct = _struct(rule, samples, runs, batch)
        self._call = function("epoch", *_TYPES, result=c_int)

    def epoch(
        self,
        order: Tensor | None,
        numbers: Tensor,
        parameters: Tensor,
        first: Tensor,
        second: Tensor,
        steps: Tensor,
        active: Tensor,
    ) -> Tensor:
        """Steps, in place, of the runs of the mask `active` [R]; figures [M, R, 7] float64, by `FIGURES`.

        parameters, first and second [R, Q] may be columns of wider buffers; `order` [R, B]; `numbers`
        [R, 13].
        """
        rule, runs = self._rule, self._runs
        self._struct.order = optional("order", order, torch.int64, (runs, self._batch))
        figures = torch.empty(rule.minibatches, runs, len(FIGURES), dtype=torch.float64)
        shape = (runs, rule.net.size)
        place, stride = rows("parameters", parameters, torch.float32, shape)
        places = [rows("moments", moment, torch.float32, shape) for moment in (first, second)]
        if places[0][1] != places[1][1]:
            raise ValueError("moments lie differently")
        self._call(
            rule.net.address,
            byref(self._struct),
            runs,
            pointer("numbers", numbers, torch.float32, (runs, len(NUMBERS))),
            place,
            stride,
            places[0][0],
            places[1][0],
            places[0][1],
            pointer("steps", steps, torch.float32, (runs,)),
            pointer("active", active, torch.bool, (runs,)),
            figures.data_ptr(),
        )
        return figures

    def gradient(self, numbers: Tensor, parameters: Tensor) -> Tensor:
        """The gradient [R, Q] of the loss of the whole batch at parameters [R, Q], samples as they lie."""
        rule, runs = self._rule, self._runs
        self._struct.order = None
        found = torch.empty(runs, rule.net.size)
        place, stride = rows("parameters", parameters, torch.float32, (runs, rule.net.size))
        types = (c_void_p, c_void_p, c_int64, c_void_p, c_void_p, c_int64, c_void_p)
        function("gradient", *types, result=c_int)(
            rule.net.address,
            byref(self._struct),
            runs,
            pointer("numbers", numbers, torch.float32, (runs, len(NUMBERS))),
            place,
            stride,
            found.data_ptr(),
        )
        return found


_TYPES = (
    c_void_p, c_void_p, c_int64, c_void_p, c_void_p, c_int64, c_void_p, c_void_p, c_int64, c_void_p, c_void_p,
    c_void_p,
)  # fmt: skip


def _struct(rule: Rule, samples: Samples, runs: int, batch: int) -> _Struct:
    """What C reads; the samples must stay meanwhile."""
    actions = rule.actions or ActionKind(CATEGORICAL, ())
    columns, factors, acts = actions.columns, len(actions.sizes), rule.actions is not None
    each, singles = (runs, batch), torch.float32
    outputs = (runs, batch, columns)
    lesson = _Struct(
        batch, rule.minibatches, columns, factors, actions.family, rule.surrogate, rule.penalty,
        rule.optimiser, rule.sums, rule.whitens, acts, rule.judges, rule.stops, rule.entropies,
    )  # fmt: skip
    lesson.sizes = actions.address
    lesson.inputs = pointer("inputs", samples.inputs, singles, tuple(samples.inputs.shape))
    needed = {"advantages": acts, "log_anchor": acts, "targets": rule.judges}
    for name in ("advantages", "targets", "log_anchor", "values", "weights"):
        field = getattr(samples, name)
        if needed.get(name) and field is None:
            raise ValueError(f"{name} are missing")
        setattr(lesson, name, optional(name, field, singles, each))
    if rule.penalty:
        if samples.anchor_outputs is None:
            raise ValueError("anchor_outputs are missing")
        lesson.anchor_outputs = pointer("anchor_outputs", samples.anchor_outputs, singles, outputs)
        if actions.family == GAUSSIAN:
            if samples.anchor_free is None:
                raise ValueError("anchor_free is missing")
            lesson.anchor_free = pointer("anchor_free", samples.anchor_free, singles, (runs, 1, columns))
    if acts:
        _set_actions(lesson, actions, samples.actions, runs, batch)
    return lesson


def _set_actions(lesson: _Struct, kind: ActionKind, actions: Tensor | None, runs: int, batch: int) -> None:
    if actions is None:
        raise ValueError("actions are missing")
    if kind.family == GAUSSIAN:
        lesson.moves = pointer("actions", actions, torch.float32, (runs, batch, kind.columns))
        return
    shape = (runs, batch) if actions.ndim == 2 else (runs, batch, len(kind.sizes))
    if actions.ndim == 2 and len(kind.sizes) != 1:
        raise ValueError("actions of several factors must be [R, B, A]")
    lesson.choices = pointer("actions", actions, torch.int64, shape)
