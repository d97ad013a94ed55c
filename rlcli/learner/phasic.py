"""The step rule of phases: epochs for the policy, epochs for the value function, and now and then an
auxiliary phase, which teaches the policy's network to predict values while it holds the policy still.

Shapes: R runs, B samples of a rollout, N rollouts from one auxiliary phase to the next, S = N B, b samples of
a minibatch, M minibatches an epoch, K gradient steps, P parameters, D policy outputs.

With two trunks, values reach the actor's in the auxiliary phase alone, through a value head of its own
(V_aux). With one trunk V itself plays the part of V_aux: policy epochs move the trunk and the policy head,
value epochs the value head, and only the auxiliary phase takes the gradient of values into the trunk.
Each phase has an optimiser of its own: where a gradient is always 0, there is no momentum either.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rlcli.config.schema import RunConfig
from rlcli.envs.spec import ObservationSpec
from rlcli.learner.critic import Fit, fit
from rlcli.learner.model import initial_auxiliary_head
from rlcli.learner.optimisers import INITIAL_SECOND, OPTIMISERS, clip_by_norm_
from rlcli.learner.sgd import sgd, shuffle
from rlcli.learner.state import Phases, fresh_optimiser, no_phases
from rlcli.learner.step import Improvement, Losses, Step
from rlcli.maths.distribution import Distribution
from rlcli.maths.health import nonnegative
from rlcli.nets.mlp import MLP, Heads
from rlcli.nets.policy import Model, Outputs


def initial_phases(configs: Sequence[RunConfig], model: Model, observation: ObservationSpec) -> Phases:
    """What is remembered before the first update; nothing, unless the step rule has phases."""
    config, runs, network = configs[0], len(configs), model.network
    if config.algo.step_rule != "phasic":
        return no_phases(runs)
    second = INITIAL_SECOND[config.algo.optimiser]
    places = (runs, config.algo.auxiliary_every, config.batch_size)
    return Phases(
        fresh_optimiser(runs, len(_value_part(network)[1]), second),
        fresh_optimiser(runs, len(network.auxiliary_columns), second),
        torch.zeros(runs, 0) if network.shared else initial_auxiliary_head(configs, model),
        torch.from_numpy(np.zeros((*places, *observation.shape), observation.dtype)),
        torch.zeros(places),
    )


def phasic(step: Step) -> Improvement:
    """Policy epochs, value epochs and, for runs whose turn it is, the auxiliary phase.

    Source: Cobbe et al. 2021, 'Phasic Policy Gradient', algorithm 1.
    """
    every = step.configs[0].algo.auxiliary_every
    moved = _move_policy(step)
    parameters, fitted = _fit_values(step, moved.parameters)
    phases = _remembered(step)._replace(value=fitted.optimiser)
    norms = [moved.gradient_norms, fitted.gradient_norms]
    taken = [moved.taken, torch.ones_like(fitted.losses, dtype=torch.bool)]
    figures: dict[str, Tensor] = {}
    turns = [(done + 1) % every == 0 for done in step.memory.updates]
    if any(turns):
        due = torch.tensor(turns, device=parameters.device)
        parameters, phases, taught, figures = _auxiliary_phase(step, parameters, phases, due)
        norms.append(taught)
        taken.append(due.expand_as(taught))
    gradient_norms = torch.cat(norms)
    return Improvement(
        parameters,
        moved.optimiser,
        _losses(step, moved, fitted, len(gradient_norms)),
        gradient_norms,
        torch.cat(taken),
        moved.epochs,
        figures,
        phases,
        unseen=any(turns),
    )


def _move_policy(step: Step) -> Improvement:
    """Policy epochs, which leave the value function where it is."""
    whole, start = step.model.network, step.parameters
    columns = whole.actor_columns.to(start.device)

    def completed(actor: Tensor) -> Tensor:
        return start.index_copy(1, columns, actor)

    policy_alone = step._replace(
        model=replace(step.model, network=whole.actor),
        parameters=start.index_select(1, columns),
        optimiser=step.optimiser.part(columns),
        estimate=lambda actor: step.estimate(completed(actor)),
        after_epoch=lambda actor: step.after_epoch(completed(actor)),
    )
    moved = sgd(policy_alone)
    return moved._replace(
        parameters=completed(moved.parameters), optimiser=step.optimiser.with_part(columns, moved.optimiser)
    )


def _value_part(network: MLP) -> tuple[MLP, Tensor]:
    """What value epochs train, as a network of its own, and where its parameters lie in the flat buffer."""
    if network.shared:
        return network.heads, network.head_columns
    return network.critic, network.critic_columns


def _fit_values(step: Step, parameters: Tensor) -> tuple[Tensor, Fit]:
    """Parameters [R, P] after the value epochs, which leave the policy where it is."""
    whole = step.model.network
    network, columns = _value_part(whole)
    columns = columns.to(parameters.device)
    # A value head alone has the trunk's features for inputs: they are constants, so nothing flows back.
    inputs = whole.features(parameters, step.batch.inputs) if whole.shared else step.batch.inputs
    part = step._replace(
        model=replace(step.model, network=network),
        optimiser=step.memory.phases.value,
        batch=step.batch._replace(inputs=inputs),
    )
    fitted = fit(part, parameters.index_select(1, columns), step.configs[0].algo.value_epochs)
    return parameters.index_copy(1, columns, fitted.parameters), fitted


def _remembered(step: Step) -> Phases:
    """What is remembered, with this rollout in the place of the one of N updates ago."""
    memory, every = step.memory, step.configs[0].algo.auxiliary_every
    device = memory.observations.device
    places = torch.tensor([done % every for done in memory.updates], device=device)
    at = (torch.arange(len(places), device=device), places)
    kept = memory.phases
    return kept._replace(
        observations=kept.observations.index_put(at, memory.observations),
        targets=kept.targets.index_put(at, step.batch.targets),
    )


def _losses(step: Step, moved: Improvement, fitted: Fit, steps: int) -> Losses:
    """Each loss as its mean over the steps of its own phase, given to every step [K, R]."""
    masks = moved.taken.T.contiguous()
    counts = masks.sum(-1)

    def mean(losses: Tensor) -> Tensor:
        return torch.where(masks, losses.T.contiguous(), 0.0).sum(-1) / counts

    policy, entropy, penalty = map(mean, (moved.losses.policy, moved.losses.entropy, moved.losses.penalty))
    value = fitted.losses.T.contiguous().mean(-1)
    total = mean(moved.losses.total) + step.hyper.value_coef.squeeze(-1) * value
    return Losses(*(loss.expand(steps, -1) for loss in (policy, value, entropy, penalty, total)))


class _Samples(NamedTuple):
    """What the auxiliary phase learns from, constants of it; each [R, S, ...], or [R, b, ...]."""

    inputs: Tensor
    targets: Tensor
    """[R, S]: value targets."""
    outputs: Tensor
    """[R, S, D]: the policy head's at the start of the phase."""


class _Taught(NamedTuple):
    """What an auxiliary phase came to."""

    parameters: Tensor
    """[R, P]."""
    phases: Phases
    gradient_norms: Tensor
    """[K, R], before clipping."""
    figures: dict[str, Tensor]


def _auxiliary_phase(step: Step, parameters: Tensor, phases: Phases, due: Tensor) -> _Taught:
    """Epochs over all rollouts remembered, for the runs of the mask `due` [R]; the others stay."""
    algo, network = step.configs[0].algo, step.model.network.auxiliary
    columns = step.model.network.auxiliary_columns.to(parameters.device)
    samples, before = _recalled(step, parameters, phases)
    loss = _AuxiliaryLoss(step, before)
    everything = torch.cat((parameters, phases.head), 1)
    planned = algo.auxiliary_epochs * algo.auxiliary_minibatches
    start = everything.index_select(1, columns)
    rule = OPTIMISERS[algo.optimiser](start, phases.auxiliary, step.hyper, planned)
    parts = network.unflatten(rule.parameters)
    norms = []
    for epoch in range(algo.auxiliary_epochs):
        order = step.memory.permutations(epoch).to(parameters.device)
        for minibatch in _minibatches(samples, order, algo.auxiliary_minibatches):
            heads, tape = network.forward(parts, minibatch.inputs)
            gradients = network.backward(tape, loss.gradient(heads, minibatch))
            gradients, norm = clip_by_norm_(gradients, step.hyper.max_grad_norm)
            rule.step(gradients, due)
            norms.append(norm)
    heads, _ = network.forward(parts, samples.inputs)
    figures = loss.figures(heads, samples)
    everything, own = everything.index_copy(1, columns, rule.parameters), parameters.shape[1]
    return _Taught(
        everything[:, :own].contiguous(),
        phases._replace(auxiliary=rule.state(), head=everything[:, own:].contiguous()),
        torch.stack(norms),
        {name: torch.where(due, value, torch.nan) for name, value in figures.items()},
    )


def _recalled(step: Step, parameters: Tensor, phases: Phases) -> tuple[_Samples, Outputs]:
    """All samples remembered, whitened by today's statistics, and what today's policy says of them."""
    inputs = step.memory.encode(phases.observations.flatten(1, 2))
    before = Outputs(*step.model.network.policy(parameters, inputs))
    return _Samples(inputs, phases.targets.flatten(1), before.state), before


def _minibatches(samples: _Samples, order: Tensor, parts: int) -> Iterator[_Samples]:
    """The samples in M parts [R, b, ...], each run's in its own order [R, S]."""
    shuffled = map(shuffle(order, parts), samples)
    return (_Samples(*fields) for fields in zip(*shuffled, strict=True))


class _AuxiliaryLoss:
    """mean ½ (V_aux - target)² + beta_clone mean KL(before||π) + mean ½ (V - target)².

    Where V is V_aux its error counts once. Source: Cobbe et al. 2021, section 2, L_joint and L_value.
    """

    def __init__(self, step: Step, before: Outputs) -> None:
        self._sums = step.configs[0].algo.loss_reduction == "sum"
        self._beta, self._family, self._free = step.hyper.beta_clone, step.model.family, before.free
        self._shared = step.model.network.shared

    def gradient(self, heads: Heads, samples: _Samples) -> Heads:
        """The gradient with respect to what the network of the phase says of a minibatch."""
        scale = 1.0 if self._sums else 1.0 / samples.targets.shape[-1]
        policy, before, auxiliary = self._read(heads, samples)
        by_kl = (self._beta * scale).expand_as(samples.targets)
        for_output, for_free = policy.pullback_kl_from(before, by_kl)
        if not self._shared:
            by_auxiliary = (auxiliary - samples.targets) * scale
            for_output = torch.cat((for_output, by_auxiliary.unsqueeze(-1)), -1)
        return Heads(for_output, for_free, (heads.value - samples.targets) * scale)

    def figures(self, heads: Heads, samples: _Samples) -> dict[str, Tensor]:
        """Where the phase ended, on all samples, by catalogue name, each [R] float64."""
        policy, before, auxiliary = self._read(heads, samples)
        targets = samples.targets.double()
        found = {
            "auxiliary/clone_kl": nonnegative(before.double().kl(policy.double())).mean(-1),
            "auxiliary/value": (heads.value.double() - targets).square().mean(-1),
        }
        if not self._shared:
            found["auxiliary/value_aux"] = (auxiliary.double() - targets).square().mean(-1)
        return found

    def _read(self, heads: Heads, samples: _Samples) -> tuple[Distribution, Distribution, Tensor]:
        """The policy now and at the start of the phase, and V_aux [R, b]."""
        outputs = heads.output[..., : samples.outputs.shape[-1]].contiguous()
        auxiliary = heads.value if self._shared else heads.output[..., -1].contiguous()
        distribution = self._family.distribution
        return distribution(outputs, heads.free), distribution(samples.outputs, self._free), auxiliary
