"""Policies of every family that C knows, with actions: for tests of distributions and health."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from rlcli.kernels.distributions import ExactPolicy, read
from rlcli.kernels.learn import BERNOULLI, CATEGORICAL, GAUSSIAN, ActionKind
from rlcli.maths.distribution import Distribution
from rlcli.maths.distributions import CategoricalFamily, Family, GaussianFamily
from rlcli.maths.factored import BernoulliFamily, MultiCategoricalFamily

FAMILIES: dict[str, tuple[ActionKind, Any]] = {
    "one choice": (ActionKind(CATEGORICAL, (1,)), CategoricalFamily(1)),
    "categorical": (ActionKind(CATEGORICAL, (2,)), CategoricalFamily(2)),
    "many choices": (ActionKind(CATEGORICAL, (19,)), CategoricalFamily(19)),
    "factors": (ActionKind(CATEGORICAL, (3, 1, 5)), MultiCategoricalFamily((3, 1, 5))),
    "switches": (ActionKind(BERNOULLI, (1,) * 3), BernoulliFamily(3)),
    "gaussian": (ActionKind(GAUSSIAN, (1,) * 6), GaussianFamily(6)),
}


class Drawn(NamedTuple):
    """Outputs of a network and actions, [R, B, ...]."""

    kind: ActionKind
    family: Family
    output: Tensor
    free: Tensor
    actions: Tensor

    def moved(self, by: float) -> Drawn:
        """Another policy on the same actions."""
        output = self.output + by * torch.randn_like(self.output)
        return self._replace(output=output, free=self.free + by * torch.randn_like(self.free))

    def runs(self, rows: slice) -> Drawn:
        """Some of the runs."""
        parts = (part[rows].contiguous() for part in self[2:])
        return Drawn(self.kind, self.family, *parts)

    @property
    def slow(self) -> Distribution:
        """In torch, in float64."""
        return self.family.distribution(self.output, self.free).double()

    @property
    def fast(self) -> ExactPolicy:
        """In C."""
        return read(self.kind, self.output, self.free, self.actions)


def drawn(name: str, runs: int, samples: int, size: float = 1.0) -> Drawn:
    """Random outputs of this size, and actions."""
    kind, family = FAMILIES[name]
    output = size * torch.randn(runs, samples, kind.columns)
    free = 0.3 * torch.randn(runs, 1, family.free_width)
    if kind.family == GAUSSIAN:
        actions = output + free.exp() * torch.randn_like(output)
    elif kind.family == BERNOULLI:
        actions = torch.randint(0, 2, output.shape)
    else:
        actions = torch.stack([torch.randint(0, choices, (runs, samples)) for choices in kind.sizes], -1)
        actions = actions.squeeze(-1) if len(kind.sizes) == 1 else actions
    return Drawn(kind, family, output, free, actions)
