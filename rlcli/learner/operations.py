"""The operations of an update that exist in torch and in C; a session uses the one or the other throughout.

Shapes: R runs, B samples of a batch, S gradient steps, P parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from torch import Tensor

from rlcli.config.schema.run import RunConfig
from rlcli.learner.batch import Batch
from rlcli.learner.comparison import Comparison
from rlcli.learner.state import OptimiserState
from rlcli.nets.network import Linearised
from rlcli.nets.observations import Moments

if TYPE_CHECKING:
    from rlcli.learner.algorithm import Improvement, Start
    from rlcli.learner.learnt import SampledPolicy


class Descent(Protocol):
    """Gradient steps from the parameters at the start of an update."""

    @property
    def parameters(self) -> Tensor:
        """[R, P]: where the steps so far have led."""

    def epoch(self, batch: Batch, number: int, active: Tensor) -> Tensor:
        """One pass over the batch by the runs of the mask `active` [R]; those that are active after it."""

    def improvement(self, epochs: list[Tensor]) -> Improvement:
        """What came of it, after epochs that began with these masks."""


class Fit(NamedTuple):
    """What value epochs return."""

    parameters: Tensor
    """[R, P]."""
    optimiser: OptimiserState
    """Of the critic's part."""
    losses: Tensor
    """[S, R]: the value loss, without its coefficient."""
    gradient_norms: Tensor
    """[S, R], before clipping."""


class Operations(NamedTuple):
    """One implementation of all of them."""

    descent: Callable[[Start, str], Descent]
    """(start, part) -> steps down the losses of a part of the network."""
    fit: Callable[[Start, Tensor, OptimiserState, int], Fit]
    """(start, parameters [R, P], optimiser of the critic, epochs) -> the value function fitted alone."""
    whiten: Callable[[Tensor], Tensor]
    """[R, B] -> zero mean and unit deviation over the last axis."""
    advance: Callable[[Moments, Tensor], Moments]
    """(moments, samples [R, B, O]) -> moments after them."""
    discounted_returns: Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
    """(rewards, ended, gamma, carried) -> discounted returns so far, and what to carry on."""
    scaled_rewards: Callable[[RunConfig, Moments, Tensor], Tensor]
    """(config, moments, rewards [T, R, N]) -> rewards as float32, clipped or scaled as asked."""
    permutation: Callable[[Sequence[int], Sequence[int], int, int, str], Tensor]
    """(seeds, updates done, epoch, samples, stream) -> each run's order of its samples, [R, B]."""
    comparison: Comparison
    objective_gradient: Callable[[Start, SampledPolicy, Linearised | None], Tensor]
    """(start, the policy there, the network there where it was kept) -> the gradient [R, Q] of the whole
    batch's objective by the actor's part."""
    root: Callable[[Tensor], Tensor]
    """The square root."""
    exact_rows: bool
    """Whether no bit of a row's outputs depends on the batch it is in, nor on whether it is acted on."""
