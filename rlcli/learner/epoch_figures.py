"""Per-epoch health figures: the policy measured after each epoch of an update.

Shapes: R runs, B samples, P parameters.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from rlcli.config.schema.run import RunConfig
from rlcli.learner.algorithm import Algorithm
from rlcli.learner.comparison import Measured
from rlcli.learner.figures import Reference, epoch_figures
from rlcli.learner.hyperparameters import stops_early
from rlcli.maths.distribution import Distribution
from rlcli.nets.memory import Memory
from rlcli.nets.network import ACTOR
from rlcli.nets.policy import Model


class OnSamples:
    """Policies measured on fixed samples; the last one is kept while the actor's parameters stay."""

    def __init__(
        self,
        model: Model,
        inputs: Tensor,
        actions: Tensor,
        memory: Memory | None,
        measured: Callable[[Distribution, Tensor], Measured],
    ) -> None:
        """`inputs` and `actions` are [R, B, ...]."""
        self._model, self._inputs, self._actions, self._memory = model, inputs, actions, memory
        self._measured = measured
        self._last: tuple[Tensor, Measured] | None = None

    def __call__(self, parameters: Tensor) -> Measured:
        """The policy of `parameters` [R, P]."""
        actor = parameters[:, self._model.network.parts[ACTOR]]
        if self._last is None or not torch.equal(self._last[0], actor):
            policy = self._model.distribution(parameters, self._inputs, self._memory)
            self._last = actor.clone(), self._measured(policy, self._actions)
        return self._last[1]


class EpochFigures:
    """Called after every epoch: the figures `epochs/...`, and the KL of the exact stopping rule."""

    def __init__(
        self,
        algorithm: Algorithm,
        configs: Sequence[RunConfig],
        policy: OnSamples,
        mu: Reference,
        anchor: Reference,
    ) -> None:
        """`policy` is measured on the samples of the rollout, as mu and anchor are."""
        self._stops = stops_early(configs) and algorithm.stops_by_epoch
        self._records = configs[0].health.epochs
        self._policy = policy
        self._mu, self._anchor = mu, anchor
        self._rows: list[dict[str, Tensor]] = []
        self.seconds = 0.0

    def __call__(self, parameters: Tensor) -> Tensor | None:
        """Measures the policy of `parameters` [R, P]; its mean KL [R] where the stopping rule asks for it."""
        if not (self._stops or self._records):
            return None
        begun = time.perf_counter()
        policy = self._policy(parameters)
        if self._records:
            self._rows.append(epoch_figures(self._mu, policy))
        exact = policy.mean_kl(self._anchor.policy) if self._stops else None
        self.seconds += time.perf_counter() - begun
        return exact

    def figures(self, active: Sequence[Tensor]) -> dict[str, list[Tensor]]:
        """Each figure epoch by epoch, NaN for runs that had stopped when the epoch began."""
        if not self._rows:
            return {}
        rows = torch.stack([torch.stack(tuple(row.values())) for row in self._rows])
        masked = torch.where(torch.stack(tuple(active)).unsqueeze(1), rows, math.nan)
        columns = zip(self._rows[0], masked.unbind(1), strict=True)
        return {name: list(column.unbind(0)) for name, column in columns}
