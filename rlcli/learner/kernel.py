"""The operations of an update in C (`rlcli/kernels`): the same losses as `sgd.py` and `critic.py` have.

Shapes: R runs, B samples of a batch, M minibatches, S gradient steps, P parameters, Q those that move.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rlcli.kernels import learn
from rlcli.kernels.learn import ActionKind, Lesson, Rule, Samples
from rlcli.kernels.steps import step_losses
from rlcli.kernels.whiten import whiten
from rlcli.learner.algorithm import Improvement, Losses, Start
from rlcli.learner.batch import Batch
from rlcli.learner.hyperparameters import stops_early
from rlcli.learner.operations import Fit
from rlcli.learner.state import OptimiserState
from rlcli.maths.distributions import CategoricalFamily, Family, GaussianFamily
from rlcli.maths.factored import BernoulliFamily, MultiCategoricalFamily
from rlcli.nets.network import ACTOR, ALL, CRITIC
from rlcli.nets.stacked.kernel import describe
from rlcli.nets.stacked.mlp import MLP


class Codes(NamedTuple):
    """What a row's names are to C."""

    surrogate: int
    optimiser: int


def action_kind(family: Family) -> ActionKind:
    """How C reads the outputs of a family."""
    match family:
        case CategoricalFamily():
            return ActionKind(learn.CATEGORICAL, (family.actions,))
        case MultiCategoricalFamily():
            return ActionKind(learn.CATEGORICAL, family.sizes)
        case BernoulliFamily():
            return ActionKind(learn.BERNOULLI, (1,) * family.width)
        case GaussianFamily():
            return ActionKind(learn.GAUSSIAN, (1,) * family.width)
    raise TypeError(f"no kernel for {family}")


@dataclass
class _Moving:
    """The part of the parameters that steps move, and the state of its optimiser; all changed in place."""

    parameters: Tensor
    """[R, P]."""
    block: slice
    first: Tensor
    second: Tensor
    """[R, Q]."""
    steps: Tensor

    @classmethod
    def of(cls, parameters: Tensor, state: OptimiserState, block: slice) -> _Moving:
        """Copies."""
        first, second = (
            moment.clone(memory_format=torch.contiguous_format) for moment in (state.first, state.second)
        )
        return cls(parameters.clone(), block, first, second, state.steps.clone())

    def epoch(self, lesson: Lesson, order: Tensor | None, numbers: Tensor, active: Tensor) -> Tensor:
        """One epoch; its figures [M, R, ...], and `active` changed in place."""
        moving = self.parameters[:, self.block]
        return lesson.epoch(order, numbers, moving, self.first, self.second, self.steps, active)

    def state(self) -> OptimiserState:
        """Moments and step counts to carry on."""
        return OptimiserState(self.first, self.second, self.steps)


class KernelDescent:
    """Gradient steps in C, run by run."""

    def __init__(self, codes: Codes, start: Start, part: str) -> None:
        self._start = start
        self._rule = _rule(codes, start, part)
        self._numbers = _numbers(start)
        self._moving = _Moving.of(start.parameters, start.optimiser, start.model.network.parts[part])
        self._figures: list[Tensor] = []
        self._last: tuple[Batch, Lesson] | None = None

    @property
    def parameters(self) -> Tensor:
        """[R, P]."""
        return self._moving.parameters

    def epoch(self, batch: Batch, number: int, active: Tensor) -> Tensor:
        """See `Descent`."""
        active, order = active.clone(), _order(self._start, number)
        self._figures.append(self._moving.epoch(self._lesson(batch), order, self._numbers, active))
        return active

    def _lesson(self, batch: Batch) -> Lesson:
        """Of a batch, which most epochs share."""
        if self._last is None or self._last[0] is not batch:
            self._last = batch, Lesson(self._rule, _samples(self._start, batch))
        return self._last[1]

    def improvement(self, epochs: list[Tensor]) -> Improvement:
        """See `Descent`."""
        hyper = self._start.hyper
        coefficients = torch.cat((hyper.value_coef.T, hyper.entropy_coef.T))
        columns, accepted = step_losses(torch.cat(self._figures), coefficients)
        *losses, norms = columns.unbind(0)
        return Improvement(
            self.parameters, self._moving.state(), Losses(*losses), norms, accepted, epochs, {}
        )


def fit(codes: Codes, start: Start, parameters: Tensor, state: OptimiserState, epochs: int) -> Fit:
    """See `Operations.fit`."""
    block = start.model.network.parts[CRITIC]
    # A state of both heads of a shared trunk has those of V at its end.
    own = slice(state.first.shape[1] - (block.stop - block.start), None)
    moving = _Moving.of(parameters, state.part(own), block)
    rule, numbers = _rule(codes, start, CRITIC), _numbers(start)
    inputs = start.model.network.entering(parameters, start.batch.inputs, CRITIC)
    samples = _samples(start, start.batch)._replace(inputs=inputs)
    lesson, active = Lesson(rule, samples), torch.ones(len(parameters), dtype=torch.bool)
    figures = torch.cat(
        [moving.epoch(lesson, _order(start, epoch), numbers, active) for epoch in range(epochs)]
    ).float()
    error, norm = (figures[..., learn.FIGURES.index(name)] for name in ("error", "norm"))
    return Fit(moving.parameters, state.with_part(own, moving.state()), error, norm)


def objective_gradient(codes: Codes, start: Start, _: object, __: object) -> Tensor:
    """See `Operations.objective_gradient`."""
    network = start.model.network
    rule = replace(
        _rule(codes, start, ACTOR),
        penalty=learn.NO_PENALTY, minibatches=1, sums=False, whitens=False, stops=False, entropies=False,
    )  # fmt: skip
    samples = _samples(start, start.batch)._replace(advantages=start.objective_advantages)
    parameters = start.parameters[:, network.parts[ACTOR]]
    return -Lesson(rule, samples).gradient(_numbers(start), parameters)


def root(values: Tensor) -> Tensor:
    """The square root, correctly rounded, as torch's is not."""
    return torch.from_numpy(np.sqrt(values.numpy()))


def _rule(codes: Codes, start: Start, part: str) -> Rule:
    algorithm, network = start.algorithm, start.model.network
    assert isinstance(network, MLP), "chosen for networks that C takes"
    acts = part != CRITIC
    penalty = learn.NO_PENALTY
    if start.penalty is not None and acts:
        penalty = learn.TO_ANCHOR if start.penalty.penalty.backward else learn.FROM_ANCHOR
    parts = {ALL: network.layout, ACTOR: network.layout.actor, CRITIC: network.layout.critic}
    return Rule(
        describe(parts[part]),
        action_kind(start.model.family) if acts else None,
        codes.surrogate,
        penalty,
        codes.optimiser,
        start.configs[0].algo.minibatches,
        algorithm.sums_losses,
        algorithm.whitens_minibatches,
        judges=part != ACTOR,
        stops=acts and stops_early(start.configs) and not algorithm.stops_by_epoch,
        entropies=any(config.algo.entropy_coef for config in start.configs),
    )


def _numbers(start: Start) -> Tensor:
    """[R, 13]: the hyperparameters that C reads."""
    hyper, value_clip = start.hyper, start.configs[0].algo.value_clip
    if start.penalty is None and (kept := hyper.kept.get(value_clip)) is not None:
        return kept
    nothing = torch.zeros_like(hyper.learning_rate)
    given: dict[str, Callable[[], Tensor]] = {
        "beta": lambda: nothing if start.penalty is None else start.penalty.beta,
        "value_clip": lambda: nothing + (value_clip or 0.0),
    }
    columns = [given[name]() if name in given else getattr(hyper, name) for name in learn.NUMBERS]
    found = torch.cat(columns, 1).contiguous()
    if start.penalty is None:
        hyper.kept[value_clip] = found
    return found


def _samples(start: Start, batch: Batch) -> Samples:
    advantages = batch.advantages
    if start.algorithm.whitens_batch:
        advantages = whiten(advantages)
    penalty = start.penalty
    return Samples(
        batch.inputs,
        batch.actions,
        advantages,
        batch.targets,
        batch.log_anchor,
        batch.values,
        batch.weights,
        batch.anchor_outputs,
        None if penalty is None else penalty.anchor_free.contiguous(),
    )


def _order(start: Start, epoch: int) -> Tensor | None:
    """Each run's order of its samples; one minibatch has them as they lie."""
    return None if start.configs[0].algo.minibatches == 1 else start.permutations(epoch)
