"""An algorithm as a row of functions, and what passes between an update and its step rule.

A row is resolved once, from the names in a config (`learner/table.py`); nowhere else in this folder is a
choice compared with a name.

Shapes: T time, R runs, N environments of one run, B samples of a batch, S gradient steps, P parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from rlcli.config.schema.run import RunConfig
from rlcli.learner.batch import Batch, Transitions
from rlcli.learner.hyperparameters import Hyperparameters
from rlcli.learner.mask import Mask, MaskTerm
from rlcli.learner.operations import Operations
from rlcli.learner.optimisers import Optimiser
from rlcli.learner.penalty import Penalty, PenaltyTerm
from rlcli.learner.state import OptimiserState, Phases
from rlcli.learner.weighting import Weighting
from rlcli.maths.surrogates import Objective
from rlcli.nets.policy import Model

Targets = Callable[[Hyperparameters, Transitions], tuple[Tensor, Tensor]]
"""-> (advantages, value targets), each [T, R, N]."""
Surrogate = Callable[[Tensor, Tensor, Tensor, Hyperparameters], Objective]
"""(log pi, log anchor, advantages [R, B], hyper) -> objective of each sample [R, B], to be ascended."""
WeightingRule = Callable[[Hyperparameters, Transitions, Tensor, Tensor, Tensor], Weighting]
"""(hyper, transitions, advantages [R, B], log mu [R, B], counted [T, R, N]) -> what weighs advantages."""
Budget = Callable[[Sequence[RunConfig], Hyperparameters], Tensor]
"""-> the KL that an update may spend, [R] float64."""
ClipRange = Callable[[Hyperparameters], Tensor]
"""-> the clip range ε [R, 1], or ε below 1 and ε' above it [R, 2]."""


@dataclass(frozen=True)
class Algorithm:
    """The choices of one row of the algorithm table."""

    targets: Targets
    surrogate: Surrogate
    weighting: WeightingRule | None
    """Where advantages are weighed by the importance of whole rollouts."""
    penalty: Penalty | None
    mask: Mask | None
    """Which samples have no gradient, for a surrogate that drops some."""
    step_rule: StepRule
    optimiser: type[Optimiser]
    operations: Operations
    budget: Budget
    clip_range: ClipRange | None
    """The range of ratios of a surrogate that has one, to report."""
    adapts_rate: bool
    """Whether the learning rate adapts to the KL."""
    from_behaviour: bool
    """Whether the anchor is the policy that acted, mu, and not the one at the start of the update."""
    whitens_batch: bool
    whitens_minibatches: bool
    sums_losses: bool
    """Whether a gradient is of the sum of a minibatch's losses, not of their mean."""
    recomputes: bool
    """Whether advantages and targets are estimated anew before every epoch."""
    stops_by_epoch: bool
    """Whether target_kl is compared after an epoch with the exact KL, not before each step with k3."""
    whole_sequences: bool
    """Whether minibatches are whole sequences of environments, not samples."""
    fisher: bool
    """Whether a natural step is measured by the Fisher matrix, not by plain distance."""
    moves_apart: bool
    """Whether the step rule moves the actor's parameters and the critic's at different times."""
    has_phases: bool
    """Whether the step rule also learns from rollouts of earlier updates, with an auxiliary value head."""

    @property
    def whitens(self) -> bool:
        """Whether advantages are whitened at all."""
        return self.whitens_batch or self.whitens_minibatches

    @property
    def compares_outputs(self) -> bool:
        """Whether gradient steps compare the policy's outputs with the anchor's."""
        return self.penalty is not None or self.mask is not None

    @property
    def spent(self) -> str:
        """The figure that is the mean KL an update spends of its budget.

        KL(anchor||pi), or KL(pi||anchor) where an adaptive penalty is of that: what adapts must be what is
        penalised.
        """
        backward = self.penalty is not None and self.penalty.adapts and self.penalty.backward
        if self.from_behaviour:
            return "behaviour/kl_pi_mu" if backward else "behaviour/kl_mu_pi"
        return "update/kl_pi_anchor" if backward else "update/kl_anchor_pi"


class PhaseInputs(NamedTuple):
    """What a rule with phases reads besides the batch of this update."""

    phases: Phases
    updates: Sequence[int]
    """Updates each run has done: runs of a cohort may have done different numbers."""
    observations: Tensor
    """[R, B, ...]: this rollout's, raw."""
    encode: Callable[[Tensor], Tensor]
    """Raw observations [R, S, ...] -> inputs [R, S, ...], by the statistics of this update."""
    permutations: Callable[[int], Tensor]
    """Auxiliary epoch -> each run's order of all samples kept, [R, S]."""


class Start(NamedTuple):
    """What a step rule starts from."""

    algorithm: Algorithm
    configs: Sequence[RunConfig]
    hyper: Hyperparameters
    model: Model
    parameters: Tensor
    """[R, P]."""
    optimiser: OptimiserState
    batch: Batch
    objective_advantages: Tensor
    """[R, B]: the advantages of the whole batch's objective."""
    weighting: Weighting | None
    penalty: PenaltyTerm | None
    mask: MaskTerm | None
    permutations: Callable[[int], Tensor]
    """Epoch -> each run's order of its samples, [R, B]."""
    estimate: Callable[[Tensor], tuple[Tensor, Tensor]]
    """Parameters [R, P] -> advantages and value targets of the whole batch under them, [R, B]."""
    after_epoch: Callable[[Tensor], Tensor | None]
    """Parameters [R, P] -> exact mean KL(anchor||pi) [R] where the stopping rule needs it."""
    phases: PhaseInputs | None


class Losses(NamedTuple):
    """The losses of S gradient steps, each [S, R]."""

    policy: Tensor
    value: Tensor
    entropy: Tensor
    penalty: Tensor
    """beta times the KL, 0 without one."""
    total: Tensor


class Improvement(NamedTuple):
    """What a step rule returns."""

    parameters: Tensor
    """[R, P]."""
    optimiser: OptimiserState
    losses: Losses
    gradient_norms: Tensor
    """[S, R], before clipping."""
    accepted: Tensor
    """[S, R]: whether the run took the gradient step."""
    epochs: list[Tensor]
    """For each epoch the mask [R] of runs that were active when it began."""
    figures: dict[str, Tensor]
    """Figures of this rule alone, by catalogue name, each [R] float64."""
    phases: Phases | None = None
    """What a rule with phases keeps for later updates."""


StepRule = Callable[[Start], Improvement]
