"""Phasic policy gradient: policy epochs, value epochs and, every few updates, an auxiliary phase, which
auxiliary phase, which teaches the policy's network to predict values while it keeps the policy still.

Shapes: R runs, B samples of a rollout, N rollouts from one auxiliary phase to the next, S = N B, b samples of
a minibatch, M minibatches of an epoch, K gradient steps, P parameters, D policy outputs.

With two trunks, values reach the actor's in the auxiliary phase alone, through a value head of its own
(V_aux). With one trunk V itself plays the part of V_aux: policy epochs move the trunk and the policy head,
value epochs the value head, and only the auxiliary phase takes the gradient of values into the trunk.
Each phase has an optimiser of its own: where a gradient is always 0, there is no momentum either.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rlcli.config.schema.run import RunConfig
from rlcli.envs.spec import ObservationSpec
from rlcli.learner.algorithm import Improvement, Losses, PhaseInputs, Start
from rlcli.learner.draws import shuffle
from rlcli.learner.model import initial_auxiliary_head
from rlcli.learner.operations import Fit
from rlcli.learner.optimisers import Optimiser, clip_by_norm_
from rlcli.learner.sgd import sgd
from rlcli.learner.state import Phases, fresh_optimiser
from rlcli.maths.distribution import Distribution
from rlcli.maths.health import nonnegative
from rlcli.nets.network import ACTOR, ALL, AUXILIARY, CRITIC, HEADS, Heads, Network, in_order
from rlcli.nets.policy import Model, Outputs


def initial_phases(
    configs: Sequence[RunConfig], model: Model, observation: ObservationSpec, optimiser: type[Optimiser]
) -> Phases:
    """What is kept between updates, before the first."""
    config, runs, network = configs[0], len(configs), model.network
    taught = _auxiliary(network)
    places = (runs, config.algo.auxiliary_every, config.batch_size)
    value = network.parts.get(HEADS, network.parts[CRITIC])
    head = initial_auxiliary_head(configs, model) if AUXILIARY in taught.parts else torch.zeros(runs, 0)
    size = network.parts[ALL].stop + head.shape[1]
    return Phases(
        fresh_optimiser(runs, value.stop - value.start, optimiser.initial_second),
        fresh_optimiser(runs, size, optimiser.initial_second),
        head,
        torch.from_numpy(np.zeros((*places, *observation.shape), observation.dtype)),
        torch.zeros(places),
    )


def ppg(start: Start) -> Improvement:
    """Policy epochs, value epochs and, for runs whose turn it is, the auxiliary phase.

    Source: Cobbe et al. 2021, 'Phasic Policy Gradient', algorithm 1.
    """
    given = _given(start)
    every = start.configs[0].algo.auxiliary_every
    epochs = start.configs[0].algo.value_epochs
    moved = _move_policy(start)
    fitted = start.algorithm.operations.fit(start, moved.parameters, given.phases.value, epochs)
    parameters, phases = fitted.parameters, _with_rollout(start, given)._replace(value=fitted.optimiser)
    norms = [moved.gradient_norms, fitted.gradient_norms]
    accepted = [moved.accepted, torch.ones_like(fitted.losses, dtype=torch.bool)]
    figures: dict[str, Tensor] = {}
    turns = [(done + 1) % every == 0 for done in given.updates]
    if any(turns):
        due = torch.tensor(turns, device=parameters.device)
        parameters, phases, taught, figures = _auxiliary_phase(start, parameters, phases, due)
        norms.append(taught)
        accepted.append(due.expand_as(taught))
    gradient_norms = torch.cat(norms)
    return Improvement(
        parameters,
        moved.optimiser,
        _losses(start, moved, fitted, len(gradient_norms)),
        gradient_norms,
        torch.cat(accepted),
        moved.epochs,
        figures,
        phases,
    )


def _given(start: Start) -> PhaseInputs:
    assert start.phases is not None, "prepared for a rule without phases"
    return start.phases


def _auxiliary(network: Network) -> Network:
    found = network.auxiliary
    assert found is not None, "refused by check_network"
    return found


def _move_policy(start: Start) -> Improvement:
    """Policy epochs, which leave the value function where it is."""
    actor = start.model.network.parts[ACTOR]
    moved = sgd(start._replace(optimiser=start.optimiser.part(actor)), ACTOR)
    return moved._replace(optimiser=start.optimiser.with_part(actor, moved.optimiser))


def _with_rollout(start: Start, given: PhaseInputs) -> Phases:
    """What is kept, with this rollout in the place of the one of N updates ago."""
    device, every = given.observations.device, start.configs[0].algo.auxiliary_every
    places = torch.tensor([done % every for done in given.updates], device=device)
    at = (torch.arange(len(places), device=device), places)
    kept = given.phases
    return kept._replace(
        observations=kept.observations.index_put(at, given.observations),
        targets=kept.targets.index_put(at, start.batch.targets),
    )


def _losses(start: Start, moved: Improvement, fitted: Fit, steps: int) -> Losses:
    """Each loss as its mean over the steps of its own phase, given to every step [K, R]."""
    masks = moved.accepted.T.contiguous()
    counts = masks.sum(-1)

    def mean(losses: Tensor) -> Tensor:
        return torch.where(masks, losses.T.contiguous(), 0.0).sum(-1) / counts

    policy, entropy, penalty = map(mean, (moved.losses.policy, moved.losses.entropy, moved.losses.penalty))
    value = fitted.losses.T.contiguous().mean(-1)
    total = mean(moved.losses.total) + start.hyper.value_coef.squeeze(-1) * value
    return Losses(*(loss.expand(steps, -1) for loss in (policy, value, entropy, penalty, total)))


class _Samples(NamedTuple):
    """What the auxiliary phase learns from, constants of it; each [R, S, ...], or [R, b, ...]."""

    inputs: Tensor
    targets: Tensor
    """[R, S]: value targets."""
    outputs: Tensor
    """[R, S, D]: the policy head's at the start of the phase."""


class _Taught(NamedTuple):
    """What an auxiliary phase returns."""

    parameters: Tensor
    """[R, P]."""
    phases: Phases
    gradient_norms: Tensor
    """[K, R], before clipping."""
    figures: dict[str, Tensor]


def _auxiliary_phase(start: Start, parameters: Tensor, phases: Phases, due: Tensor) -> _Taught:
    """Epochs over all rollouts kept, for the runs of the mask `due` [R]; the others stay."""
    algo, network = start.configs[0].algo, _auxiliary(start.model.network)
    samples, before = _kept_samples(start, parameters, phases)
    loss = _AuxiliaryLoss(start, before)
    planned = algo.auxiliary_epochs * algo.auxiliary_minibatches
    everything = torch.cat((parameters, phases.head), 1)
    rule = start.algorithm.optimiser(everything, phases.auxiliary, start.hyper, planned)
    norms = []
    for epoch in range(algo.auxiliary_epochs):
        order = _given(start).permutations(epoch).to(parameters.device)
        for minibatch in _minibatches(samples, order, algo.auxiliary_minibatches):
            linear = network.linearise(rule.parameters, minibatch.inputs)
            gradients = linear.vjp(loss.gradient(linear.heads, minibatch))
            summed = in_order(network, gradients)
            gradients, norm = clip_by_norm_(gradients, start.hyper.max_grad_norm, summed)
            rule.step(gradients, due)
            norms.append(norm)
    figures = loss.figures(network.linearise(rule.parameters, samples.inputs).heads, samples)
    own = parameters.shape[1]
    return _Taught(
        rule.parameters[:, :own].contiguous(),
        phases._replace(auxiliary=rule.state(), head=rule.parameters[:, own:].contiguous()),
        torch.stack(norms),
        {name: torch.where(due, value, torch.nan) for name, value in figures.items()},
    )


def _kept_samples(start: Start, parameters: Tensor, phases: Phases) -> tuple[_Samples, Outputs]:
    """All samples kept, whitened by today's statistics, and the outputs of today's policy at them."""
    inputs = _given(start).encode(phases.observations.flatten(1, 2))
    before = start.model.read(parameters, inputs)
    return _Samples(inputs, phases.targets.flatten(1), before.state), before


def _minibatches(samples: _Samples, order: Tensor, parts: int) -> Iterator[_Samples]:
    """The samples in M parts [R, b, ...], each run's in its own order [R, S]."""
    shuffled = map(shuffle(order, parts), samples)
    return (_Samples(*fields) for fields in zip(*shuffled, strict=True))


class _AuxiliaryLoss:
    """mean ½ (V_aux - target)² + beta_clone mean KL(before||π) + mean ½ (V - target)².

    Where V is V_aux its error counts once. Source: Cobbe et al. 2021, section 2, L_joint and L_value.
    """

    def __init__(self, start: Start, before: Outputs) -> None:
        self._sums = start.algorithm.sums_losses
        self._beta, self._family, self._free = start.hyper.beta_clone, start.model.family, before.free
        self._added = AUXILIARY in _auxiliary(start.model.network).parts

    def gradient(self, heads: Heads, samples: _Samples) -> Heads:
        """The gradient with respect to the heads of the phase's network at a minibatch."""
        scale = 1.0 if self._sums else 1.0 / samples.targets.shape[-1]
        policy, before, auxiliary = self._read(heads, samples)
        by_kl = (self._beta * scale).expand_as(samples.targets)
        for_output, for_free = policy.pullback_kl_from(before, by_kl)
        if self._added:
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
        if self._added:
            found["auxiliary/value_aux"] = (auxiliary.double() - targets).square().mean(-1)
        return found

    def _read(self, heads: Heads, samples: _Samples) -> tuple[Distribution, Distribution, Tensor]:
        """The policy now and at the start of the phase, and V_aux [R, b]."""
        outputs = heads.output[..., : samples.outputs.shape[-1]].contiguous()
        auxiliary = heads.output[..., -1].contiguous() if self._added else heads.value
        distribution = self._family.distribution
        return distribution(outputs, heads.free), distribution(samples.outputs, self._free), auxiliary
