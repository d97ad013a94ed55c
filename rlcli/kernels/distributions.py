"""Policies on the states and actions of a batch in float64, from the float32 outputs of networks.

Shapes: R runs, B samples, D policy outputs, A factors of an action. Stands for `maths.distributions` and
`maths.factored` after `double()`.
"""

from __future__ import annotations

from ctypes import c_int64
from typing import NamedTuple

import torch
from torch import Tensor

from rlcli.kernels.arguments import POINTER, pointer
from rlcli.kernels.learn import BERNOULLI, CATEGORICAL, GAUSSIAN, ActionKind
from rlcli.kernels.library import function


class ExactPolicy(NamedTuple):
    """A policy on the states and actions of a batch: what `distributions.h` keeps of it."""

    kind: ActionKind
    runs: int
    samples: int
    room: Tensor
    """Float64, in the order of `distributions.h`."""

    @property
    def outcomes(self) -> int:
        """Columns that divergences are sums over."""
        return self.kind.columns * (2 if self.kind.family == BERNOULLI else 1)

    @property
    def log_prob(self) -> Tensor:
        """log π(a|s) of the actions taken, [R, B]."""
        return self.room[: self.runs * self.samples].view(self.runs, self.samples)

    @property
    def entropy(self) -> Tensor:
        """The mean entropy, [R]."""
        return self.room[-self.runs :]

    @property
    def has_tv(self) -> bool:
        """Whether the total variation has a closed form: one factor of choices."""
        return self.kind.family == CATEGORICAL and len(self.kind.sizes) == 1


def read(kind: ActionKind, outputs: Tensor, free: Tensor, actions: Tensor) -> ExactPolicy:
    """The policy of outputs [R, B, D] and free parameters [R, 1, F], both float32, on the actions taken.

    Actions are int64 [R, B] or [R, B, A], of a Gaussian float32 [R, B, D]; the log-probability of one that
    does not exist is NaN.
    """
    runs, samples, columns = *outputs.shape[:2], kind.columns
    if runs < 1 or samples < 1:
        raise ValueError(f"outputs: expected runs and samples, got {list(outputs.shape)}")
    real = kind.family == GAUSSIAN
    outcomes = columns * (2 if kind.family == BERNOULLI else 1)
    kept = runs * (samples * (1 + outcomes) + (2 * columns if real else samples * outcomes) + 1)
    found = ExactPolicy(kind, runs, samples, torch.empty(kept, dtype=torch.float64))
    factors = len(kind.sizes)
    shape = (runs, samples) if actions.ndim == 2 and factors == 1 else (runs, samples, factors)
    function("read_policy", *(c_int64,) * 4, POINTER, c_int64, *(POINTER,) * 5)(
        runs,
        samples,
        kind.family,
        factors,
        kind.address,
        columns,
        pointer("outputs", outputs, torch.float32, (runs, samples, columns)),
        pointer("free", free, torch.float32, (runs, 1, columns)) if real else None,
        None if real else pointer("actions", actions, torch.int64, shape),
        pointer("actions", actions, torch.float32, (runs, samples, columns)) if real else None,
        found.room.data_ptr(),
    )
    return found
