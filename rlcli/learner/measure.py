"""Following the policy through an update, epoch by epoch.

Shapes: R runs, P parameters.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import torch
from torch import Tensor

from rlcli.config.schema import RunConfig
from rlcli.learner.figures import Reference, epoch_figures
from rlcli.learner.hyperparameters import stops_early
from rlcli.maths.distribution import Distribution
from rlcli.nets.policy import Model


class EpochMeasure:
    """Called after every epoch: follows health through the update and feeds the exact stopping rule."""

    def __init__(
        self,
        configs: Sequence[RunConfig],
        model: Model,
        inputs: Tensor,
        actions: Tensor,
        mu: Reference,
        anchor: Reference,
    ) -> None:
        self._stops = stops_early(configs) and configs[0].algo.target_kl_rule == "epoch_exact"
        self._follows = configs[0].health.epochs
        self._model, self._inputs, self._actions = model, inputs, actions
        self._mu, self._anchor = mu, anchor
        self._rows: list[dict[str, Tensor]] = []
        self._last: Distribution | None = None
        self.seconds = 0.0

    def __call__(self, parameters: Tensor) -> Tensor | None:
        """Measures the policy of `parameters` [R, P]; its mean KL [R] where the stopping rule asks for it."""
        if not (self._stops or self._follows):
            return None
        begun = time.perf_counter()
        policy = self._model.distribution(parameters, self._inputs).double()
        self._last = policy
        if self._follows:
            self._rows.append(epoch_figures(self._mu, policy, self._actions))
        exact = self._anchor.distribution.kl(policy).mean(-1) if self._stops else None
        self.seconds += time.perf_counter() - begun
        return exact

    def policy(self, parameters: Tensor, unseen: bool) -> Distribution:
        """The policy of `parameters`, in float64: that of the last epoch, unless it has moved on `unseen`."""
        if self._last is None or unseen:
            self._last = self._model.distribution(parameters, self._inputs).double()
        return self._last

    def figures(self, active: Sequence[Tensor]) -> dict[str, list[Tensor]]:
        """Each figure epoch by epoch, NaN for runs that had stopped when the epoch began."""
        if not self._rows:
            return {}
        return {
            name: [
                torch.where(mask, row[name], math.nan) for mask, row in zip(active, self._rows, strict=True)
            ]
            for name in self._rows[0]
        }
