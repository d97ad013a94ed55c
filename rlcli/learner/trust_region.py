"""Trust-region step rule (TRPO): one natural-gradient step of bounded KL for the policy, SGD epochs for V.

Shapes: R runs, B samples, P parameters, of which the actor's part takes the natural step.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rlcli.learner.algorithm import Improvement, Losses, Start
from rlcli.maths.distribution import Distribution
from rlcli.maths.natural import Operator, Outcome, Proposal, fisher_vector_product, line_search, natural_step
from rlcli.nets.network import ACTOR, CRITIC, Linearised


def trust_region(start: Start) -> Improvement:
    """Ascends the surrogate within mean KL(anchor||pi) <= delta, then fits the value function.

    Source: Schulman et al. 2015, 'Trust Region Policy Optimization', section 6 and appendix C.
    """
    algorithm, algo, hyper = start.algorithm, start.configs[0].algo, start.hyper
    proposal, evaluation = _propose(start), _Evaluation(start)
    if algo.line_search:
        accepted = line_search(
            start.parameters,
            proposal,
            evaluation,
            hyper.delta,
            hyper.line_search_shrink,
            algo.line_search_steps,
        )
        parameters, share, outcome = accepted.parameters, accepted.scale, accepted.outcome
    else:
        parameters = (start.parameters.double() + proposal.step).to(start.parameters.dtype)
        outcome = proposal.outcome
        share = (outcome == Outcome.STEPPED).double()
    start.after_epoch(parameters)
    critic = start.model.network.parts[CRITIC]
    fitted = algorithm.operations.fit(start, parameters, start.optimiser.part(critic), algo.epochs)
    figures = {
        "update/cg_residual": proposal.residual,
        "update/cg_curvature": proposal.curvature,
        "update/step_accepted": share,
        "update/step_outcome": outcome.double(),
    }
    everyone = torch.ones(len(parameters), dtype=torch.bool, device=parameters.device)
    return Improvement(
        fitted.parameters,
        start.optimiser.with_part(critic, fitted.optimiser),
        evaluation.losses(parameters, fitted.losses),
        fitted.gradient_norms,
        everyone.expand_as(fitted.losses),
        [everyone],
        figures,
    )


def _propose(start: Start) -> Proposal:
    """The step to the edge of the trust region, in float64: conjugate gradients need it."""
    algorithm, algo, hyper, batch = start.algorithm, start.configs[0].algo, start.hyper, start.batch
    network = start.model.network
    memory = None if batch.memory is None else batch.memory.double()
    # Rows of bytes stay bytes: a network reads them in the precision of its parameters.
    inputs = batch.inputs.double() if batch.inputs.is_floating_point() else batch.inputs
    linear = network.linearise(start.parameters.double(), inputs, memory, part=ACTOR, repeatedly=True)
    heads = linear.heads
    policy = start.model.family.distribution(heads.output, heads.free)
    log_prob = policy.log_prob(batch.actions)
    advantages = start.objective_advantages.double()
    slope = algorithm.surrogate(log_prob, log_prob, advantages, hyper).slope
    by_log_prob = batch.weighted(slope) / slope.shape[-1]
    for_output, for_free = policy.pullback(batch.actions, by_log_prob, None)
    gradient = linear.vjp(heads._replace(output=for_output, free=for_free))
    metric = _fisher(linear, policy) if algorithm.fisher else torch.zeros_like
    damping = hyper.cg_damping if algorithm.fisher else torch.ones_like(hyper.cg_damping)
    proposal = natural_step(
        gradient,
        metric,
        hyper.delta,
        damping.double(),
        algo.cg_iterations,
        hyper.cg_tolerance.double(),
        algorithm.operations.root,
    )
    step = torch.zeros_like(start.parameters, dtype=torch.float64)
    step[:, network.parts[ACTOR]] = proposal.step
    return proposal._replace(step=step)


def _fisher(linear: Linearised, policy: Distribution) -> Operator:
    def jvp(tangent: Tensor) -> tuple[Tensor, Tensor]:
        moved = linear.jvp(tangent)
        return moved.output, moved.free

    def vjp(by_output: Tensor, by_free: Tensor) -> Tensor:
        return linear.vjp(linear.heads._replace(output=by_output, free=by_free))

    return fisher_vector_product(policy, jvp, vjp)


class _Evaluation:
    """KL from the anchor and gain of the surrogate at candidate parameters, as the figures have them."""

    def __init__(self, start: Start) -> None:
        self._given = start
        self._anchor, self._objective = self._at(start.parameters)

    def __call__(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        policy, objective = self._at(parameters)
        gained = objective - self._objective
        weighting, batch = self._given.weighting, self._given.batch
        if weighting is not None:
            before, after = (one.log_prob(batch.actions) for one in (self._anchor, policy))
            gained = batch.weighted(weighting.gain(before, after))
        return self._anchor.kl(policy).mean(-1), gained.mean(-1)

    def losses(self, parameters: Tensor, value: Tensor) -> Losses:
        """The losses at `parameters`, beside the value loss [S, R] of each step that followed."""
        policy, objective = self._at(parameters)
        loss, entropy = (
            part.mean(-1).float() + torch.zeros_like(value) for part in (-objective, policy.entropy())
        )
        total = loss + self._given.hyper.value_coef.squeeze(-1) * value
        return Losses(loss, value, entropy, torch.zeros_like(value), total)

    def _at(self, parameters: Tensor) -> tuple[Distribution, Tensor]:
        start = self._given
        batch = start.batch
        policy = start.model.distribution(parameters, batch.inputs, batch.memory).double()
        log_prob = policy.log_prob(batch.actions)
        if start.weighting is not None:
            return policy, batch.weighted(start.weighting.ascent(log_prob)[1])
        surrogate = start.algorithm.surrogate(
            log_prob, batch.log_anchor.double(), start.objective_advantages, start.hyper
        )
        return policy, batch.weighted(surrogate.value)
