"""The step rule of trust regions: one natural step of bounded KL for the policy, gradient epochs for V.

Shapes: R runs, B samples, P parameters, of which the actor's columns are the policy's; the step is zero in
all others.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rlcli.learner.critic import fit
from rlcli.learner.step import Improvement, Losses, Step
from rlcli.learner.table import SURROGATES
from rlcli.maths.distribution import Distribution
from rlcli.maths.natural import Operator, Outcome, Proposal, fisher_vector_product, line_search, natural_step
from rlcli.nets.mlp import MLP, Heads, Tape


def natural(step: Step) -> Improvement:
    """Ascends the surrogate within mean KL(anchor||pi) <= delta, then fits the value function.

    Source: Schulman et al. 2015, 'Trust Region Policy Optimization', section 6 and appendix C.
    """
    algo, hyper = step.configs[0].algo, step.hyper
    proposal, evaluation = _propose(step), _Evaluation(step)
    if algo.line_search:
        taken = line_search(
            step.parameters,
            proposal,
            evaluation,
            hyper.delta,
            hyper.line_search_shrink,
            algo.line_search_steps,
        )
        parameters, share, outcome = taken.parameters, taken.scale, taken.outcome
    else:
        parameters = (step.parameters.double() + proposal.step).to(step.parameters.dtype)
        outcome = proposal.outcome
        share = (outcome == Outcome.STEPPED).double()
    step.after_epoch(parameters)
    fitted = fit(step, parameters, algo.epochs)
    figures = {
        "update/cg_residual": proposal.residual,
        "update/cg_curvature": proposal.curvature,
        "update/step_accepted": share,
        "update/step_outcome": outcome.double(),
    }
    everyone = torch.ones(len(parameters), dtype=torch.bool, device=parameters.device)
    return Improvement(
        fitted.parameters,
        fitted.optimiser,
        evaluation.losses(parameters, fitted.losses),
        fitted.gradient_norms,
        everyone.expand_as(fitted.losses),
        [everyone],
        figures,
    )


def _propose(step: Step) -> Proposal:
    """The step to the edge of the trust region, in float64: conjugate gradients need it."""
    algo, hyper, batch = step.configs[0].algo, step.hyper, step.batch
    whole = step.model.network
    network, columns = whole.actor, whole.actor_columns.to(step.parameters.device)
    parameters = step.parameters.index_select(1, columns).double()
    heads, tape = network.forward(network.unflatten(parameters), batch.inputs.double())
    tape = network.prepared(tape)
    policy = step.model.family.distribution(heads.output, heads.free)
    log_prob = policy.log_prob(batch.actions)
    surrogate = SURROGATES[algo.surrogate](log_prob, log_prob, step.judged.double(), hyper)
    by_log_prob = batch.weighted(surrogate.slope) / surrogate.slope.shape[-1]
    for_output, for_free = policy.pullback(batch.actions, by_log_prob, None)
    gradient = network.backward(tape, heads._replace(output=for_output, free=for_free))
    metric = _fisher(network, policy, tape, heads) if algo.metric == "fisher" else torch.zeros_like
    damping = hyper.cg_damping if algo.metric == "fisher" else torch.ones_like(hyper.cg_damping)
    proposal = natural_step(
        gradient, metric, hyper.delta, damping.double(), algo.cg_iterations, hyper.cg_tolerance.double()
    )
    still = torch.zeros_like(step.parameters, dtype=torch.float64)
    return proposal._replace(step=still.index_copy(1, columns, proposal.step))


def _fisher(network: MLP, policy: Distribution, tape: Tape, heads: Heads) -> Operator:
    def jvp(tangent: Tensor) -> tuple[Tensor, Tensor]:
        moved = network.jvp(tape, tangent)
        return moved.output, moved.free

    def vjp(by_output: Tensor, by_free: Tensor) -> Tensor:
        return network.backward(tape, heads._replace(output=by_output, free=by_free))

    return fisher_vector_product(policy, jvp, vjp)


class _Evaluation:
    """KL from the anchor and gain of the surrogate at candidate parameters, as the figures have them."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self._anchor, self._start = self._at(step.parameters)

    def __call__(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        policy, objective = self._at(parameters)
        gained = objective - self._start
        weighting, batch = self._step.weighting, self._step.batch
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
        total = loss + self._step.hyper.value_coef.squeeze(-1) * value
        return Losses(loss, value, entropy, torch.zeros_like(value), total)

    def _at(self, parameters: Tensor) -> tuple[Distribution, Tensor]:
        step = self._step
        batch = step.batch
        policy = step.model.distribution(parameters, batch.inputs).double()
        log_prob = policy.log_prob(batch.actions)
        if step.weighting is not None:
            return policy, batch.weighted(step.weighting.ascent(log_prob)[1])
        surrogate = SURROGATES[step.configs[0].algo.surrogate](
            log_prob, batch.log_anchor.double(), step.judged, step.hyper
        )
        return policy, batch.weighted(surrogate.value)
