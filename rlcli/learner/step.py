"""What a step rule is given, and what it returns.

Shapes: R runs, B samples of a batch, S gradient steps, P parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import Tensor

from rlcli.config.schema import RunConfig
from rlcli.learner.batch import Batch
from rlcli.learner.hyperparameters import Hyperparameters
from rlcli.learner.state import OptimiserState, Phases
from rlcli.learner.weighting import Weighting
from rlcli.nets.policy import Model


class Held(NamedTuple):
    """The penalty that holds the policy to the anchor."""

    free: Tensor
    """[R, 1, F]: the anchor's free parameters."""
    beta: Tensor
    """[R, 1]."""


class Memory(NamedTuple):
    """What reaches beyond the batch of this update, to those before it."""

    phases: Phases
    updates: Sequence[int]
    """Updates each run has done: members of a cohort may stand at different ones."""
    observations: Tensor
    """[R, B, ...]: this rollout's, raw."""
    encode: Callable[[Tensor], Tensor]
    """Raw observations [R, S, ...] -> inputs [R, S, O], by the statistics of this update."""
    permutations: Callable[[int], Tensor]
    """Auxiliary epoch -> each run's order of all samples remembered, [R, S]."""


class Step(NamedTuple):
    """One update's step from the parameters at its start."""

    configs: Sequence[RunConfig]
    hyper: Hyperparameters
    model: Model
    parameters: Tensor
    """[R, P]."""
    optimiser: OptimiserState
    batch: Batch
    judged: Tensor
    """[R, B]: advantages as the whole batch's objective is judged by."""
    weighting: Weighting | None
    """What weighs advantages by importance, where the row asks for it."""
    held: Held
    permutations: Callable[[int], Tensor]
    """Epoch -> each run's order of its samples, [R, B]."""
    estimate: Callable[[Tensor], tuple[Tensor, Tensor]]
    """Parameters [R, P] -> advantages and value targets of the whole batch under them, [R, B]."""
    after_epoch: Callable[[Tensor], Tensor | None]
    """Parameters [R, P] -> exact mean KL(anchor||pi) [R] where the stopping rule needs it."""
    memory: Memory


class Losses(NamedTuple):
    """The losses of S gradient steps, each [S, R]."""

    policy: Tensor
    value: Tensor
    entropy: Tensor
    penalty: Tensor
    """beta times the KL, 0 without one."""
    total: Tensor


class Improvement(NamedTuple):
    """What a step came to."""

    parameters: Tensor
    """[R, P]."""
    optimiser: OptimiserState
    losses: Losses
    gradient_norms: Tensor
    """[S, R], before clipping."""
    taken: Tensor
    """[S, R]: whether the run took the gradient step."""
    epochs: list[Tensor]
    """For each epoch the mask [R] of runs that were active when it began."""
    figures: dict[str, Tensor]
    """What only this rule can tell, by catalogue name, each [R] float64."""
    phases: Phases | None = None
    """What it remembers for later updates; None: what there was."""
    unseen: bool = False
    """Whether the policy moved on after the last epoch, which `after_epoch` has not seen."""


StepRule = Callable[[Step], Improvement]
