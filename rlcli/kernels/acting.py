"""Acting on the few rows that environments show at each step: encoder, network and choice in one call of C.

Shapes: R runs, N environments of one run, O observation width, D policy outputs, F free policy parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import Structure, byref, c_char, c_int64, c_void_p
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rlcli.kernels.arguments import optional, place, rows
from rlcli.kernels.library import function
from rlcli.kernels.network import Description

Array = npt.NDArray[Any]

FAMILIES = ("categorical", "bernoulli", "gaussian")
"""In the order of slopes.h."""
TILE, LANES = 48, 16
"""ACTING_TILE and FLOAT_LANES of acting.h."""


class Choice(NamedTuple):
    """How outputs are read."""

    family: str
    """One of FAMILIES."""
    sizes: Sequence[int] = ()
    """Of a categorical action's factors; none: the action is one choice among all outputs."""


class Whitening(NamedTuple):
    """What is subtracted from observations and what they are then multiplied by, each [R, 1, O] float64."""

    mean: Tensor
    scale: Tensor


class Policy(Structure):
    """The struct of acting.h."""

    _fields_: ClassVar = [
        ("net", c_void_p),
        ("family", c_int64),
        ("factors", c_int64),
        ("sizes", c_void_p),
        ("runs", c_int64),
        ("stride", c_int64),
        ("packed", c_void_p),
        ("mean", c_void_p),
        ("scale", c_void_p),
        ("room", c_void_p),
        ("line", c_int64),
    ]


class Acting:
    """The policies of R runs with these parameters [R, P], which are copied.

    Raises:
        ValueError: an argument has another type or shape.
    """

    def __init__(
        self,
        net: Description,
        choice: Choice,
        parameters: Tensor,
        whitening: Whitening | None = None,
        isa: str | None = None,
    ) -> None:
        self.family = choice.family
        self.runs, self.width, self.outputs = len(parameters), net.inputs, net.outputs
        tower = net.towers[0]
        widths = [*tower.widths, self.outputs]
        self._check(net, choice)
        lines = [-(-width // LANES) * LANES for width in (self.width, *widths, net.free_width)]
        layers = zip((self.width, *widths[:-1]), lines[1:-1], strict=True)
        stride = sum((inputs + 1) * line for inputs, line in layers) + lines[-1]
        self._packed, self._room = aligned(self.runs * stride), aligned(2 * TILE * max(lines))
        self._sizes = np.array(choice.sizes or (self.outputs,), np.int64)
        self._kept = net, whitening
        shape = (self.runs, 1, self.width)
        mean, scale = (None, None) if whitening is None else whitening
        self.struct = Policy(
            net.address,
            FAMILIES.index(choice.family),
            len(self._sizes),
            place(self._sizes),
            self.runs,
            stride,
            place(self._packed),
            optional("mean", mean, torch.float64, shape),
            optional("scale", scale, torch.float64, shape),
            place(self._room),
            max(lines),
        )
        address, step = rows("parameters", parameters, torch.float32, (self.runs, parameters.shape[1]))
        if parameters.shape[1] < net.size:
            raise ValueError(f"parameters must be [R, {net.size}], not {tuple(parameters.shape)}")
        self._reference = byref(self.struct)
        pack = function("pack", c_void_p, c_void_p, c_int64, c_void_p, isa=isa)
        pack(self._reference, address, step, self.struct.packed)
        kind = (c_void_p, c_int64, c_int64, c_void_p, c_void_p, c_void_p, c_void_p)
        self._act = function("act", *kind, isa=isa)
        self._checked: Any = None
        self.action_dtype: Any = np.float32 if choice.family == "gaussian" else np.int64
        self.action_shape: tuple[int, ...] = (self.outputs,)
        if choice.family == "categorical":
            self.action_shape = (len(choice.sizes),) if choice.sizes else ()

    def __call__(self, observations: Array, noise: Array | None = None) -> tuple[Array, Array]:
        """Actions and outputs at observations [R, N, ...], float32 or float64, by noise [R, N, D] or none."""
        kind = observations.shape, observations.dtype
        noisy = None if noise is None else (noise.shape, noise.dtype)
        if (kind, noisy) != self._checked:
            self._check_rows(observations, noise)
            self._checked = kind, noisy
        outputs = np.empty(self._shapes[0], np.float32)
        actions = np.empty(self._shapes[1], self.action_dtype)
        self._act(
            self._reference,
            self._envs,
            self._precise,
            _place(observations),
            None if noise is None else _place(noise),
            _place(outputs),
            _place(actions),
        )
        return actions, outputs

    def _check_rows(self, observations: Array, noise: Array | None) -> None:
        """Raises `ValueError` where C would read beyond what there is; notes the shapes."""
        runs, envs = observations.shape[:2]
        if runs != self.runs or observations.size != runs * envs * self.width:
            raise ValueError(f"observations must be [{self.runs}, N, {self.width}], not {observations.shape}")
        if observations.dtype not in (np.float32, np.float64):
            raise ValueError(f"observations must be float32 or float64, not {observations.dtype}")
        outputs = runs, envs, self.outputs
        if noise is not None and (noise.shape != outputs or noise.dtype != np.float32):
            raise ValueError(f"noise must be float32 {outputs}, not {noise.dtype} {noise.shape}")
        self._envs, self._precise = envs, observations.dtype == np.float64
        self._shapes = outputs, (runs, envs, *self.action_shape)

    @staticmethod
    def _check(net: Description, choice: Choice) -> None:
        """Raises `ValueError` where C would read beyond what there is."""
        deviations = net.outputs if choice.family == "gaussian" else 0
        if len(net.towers) != 1 or len(net.towers[0].heads) != 1 or net.free_width != deviations:
            raise ValueError("acting takes the actor alone, with a deviation for each mean of a Gaussian")
        if choice.sizes and (sum(choice.sizes) != net.outputs or min(choice.sizes) < 1):
            raise ValueError(f"sizes must be positive with the sum {net.outputs}, not {tuple(choice.sizes)}")


def aligned(count: int) -> npt.NDArray[np.float32]:
    """Room for `count` numbers, from a multiple of 64 bytes on."""
    room = np.empty(count + 16, np.float32)
    skipped = -place(room) % 64 // 4
    return room[skipped : skipped + count]


def _place(array: Any) -> Any:
    """Where an array is in memory, if there is any of it; the quickest way there is."""
    if not array.nbytes:
        return None
    try:
        return byref(c_char.from_buffer(array))
    except TypeError:
        # Not contiguous, or not to be written to. Nothing else keeps the copy: the reference does.
        return byref(c_char.from_buffer(array.copy()))
