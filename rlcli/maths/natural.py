"""The natural gradient step: Fisher-vector products, conjugate gradients, the step's length, the line search.

Shapes: R runs, B samples, P parameters; what there is one of for a run is [R, 1] as an argument and [R] as a
result. All but parameters is float64: conjugate gradients are ill-conditioned in float32. Runs that are done,
or cannot continue, are frozen with `where`; every dot product is over the last axis.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple

import torch
from torch import Tensor

from rlcli.maths.distribution import Distribution

Operator = Callable[[Tensor], Tensor]
"""A symmetric matrix a run, as the function that multiplies [R, P] by it."""


class Outcome(IntEnum):
    """How a natural step ended; all but the first leave parameters as they were."""

    STEPPED = 0
    ZERO_GRADIENT = 1
    NON_POSITIVE_CURVATURE = 2
    NON_FINITE = 3
    LINE_SEARCH_FAILED = 4


def fisher_vector_product(
    distribution: Distribution,
    jvp: Callable[[Tensor], tuple[Tensor, Tensor]],
    vjp: Callable[[Tensor, Tensor], Tensor],
) -> Operator:
    """v -> mean over states of Jᵀ F(s) J v: the Hessian, at its minimum, of either mean KL from π.

    `jvp` takes a tangent [R, P] of the parameters to that of the family's outputs [R, B, D] and free
    parameters [R, 1, F], `vjp` a gradient with respect to those back to [R, P]; F(s) is the distribution's
    own Fisher matrix. Source: Schulman et al. 2015, 'Trust Region Policy Optimization', appendix C.1.
    """

    def product(tangent: Tensor) -> Tensor:
        by_output, by_free = distribution.fisher(*jvp(tangent))
        return vjp(by_output / by_output.shape[1], by_free)

    return product


class Solution(NamedTuple):
    """What conjugate gradients came to."""

    x: Tensor
    """[R, P]."""
    iterations: Tensor
    """[R] int64: how many the run took part in."""


def conjugate_gradient(operator: Operator, b: Tensor, iterations: int, tolerance: Tensor) -> Solution:
    """x with A x ≈ b for a positive definite A, from x = 0; b [R, P], tolerance [R, 1].

    A run is done when |b - A x| ≤ tolerance |b|. It also stops, and keeps the x it has, at a direction whose
    curvature pᵀ A p is not positive or not finite: beyond it there is only rounding, or the matrix is not
    positive definite. Source: Hestenes and Stiefel 1952; Nocedal and Wright 2006, algorithm 5.2.
    """
    x = torch.zeros_like(b)
    residual, direction, square = b, b, _dot(b, b)
    enough = tolerance.double() ** 2 * square
    active = square > enough
    iterations_used = torch.zeros_like(active, dtype=torch.int64)
    for _ in range(iterations):
        # No number depends on leaving early: a run that is done changes no more.
        if not active.any():
            break
        image = operator(direction)
        curvature = _dot(direction, image)
        active = active & (curvature > 0.0) & curvature.isfinite()
        length = torch.where(active, square / curvature, 0.0)
        x = torch.where(active, x + length * direction, x)
        residual = torch.where(active, residual - length * image, residual)
        following = _dot(residual, residual)
        direction = torch.where(active, residual + (following / square) * direction, direction)
        iterations_used += active
        square = torch.where(active, following, square)
        active = active & (square > enough)
    return Solution(x, iterations_used.squeeze(-1))


class Proposal(NamedTuple):
    """A step to the edge of the trust region as a quadratic model sees it; zero where there is none."""

    step: Tensor
    """[R, P] float64."""
    predicted_gain: Tensor
    """[R]: gradient . step, the gain to first order."""
    residual: Tensor
    """[R]: |g - A s| / |g| after conjugate gradients; 0 for a zero gradient, NaN where not finite."""
    curvature: Tensor
    """[R]: sᵀ A s / sᵀ s along the direction; 0 where there is none, NaN where not finite."""
    iterations: Tensor
    """[R] int64: conjugate-gradient iterations."""
    outcome: Tensor
    """[R] int64: an `Outcome`."""


def natural_step(
    gradient: Tensor,
    fisher: Operator,
    delta: Tensor,
    damping: Tensor,
    iterations: int,
    tolerance: Tensor,
    root: Callable[[Tensor], Tensor] = torch.sqrt,
) -> Proposal:
    """The step √(2 δ / sᵀ A s) s along s ≈ A⁻¹ g with A = F + damping I, up the gradient g [R, P].

    Its length makes ½ stepᵀ A step = δ; scaling g changes nothing. With the identity for F and no damping it
    is the ball |step|² ≤ 2 δ in parameter space. Source: Schulman et al. 2015, 'Trust Region Policy
    Optimization', appendix C; Kakade 2002, 'A Natural Policy Gradient'.
    """

    def damped(tangent: Tensor) -> Tensor:
        return fisher(tangent) + damping * tangent

    gradient = gradient.double()
    solution = conjugate_gradient(damped, gradient, iterations, tolerance)
    direction, image = solution.x, damped(solution.x)
    norm = root(_dot(gradient, gradient))
    error = root(_dot(gradient - image, gradient - image))
    size, curvature = _dot(direction, direction), _dot(direction, image)
    scaled = root(2.0 * delta.double() / curvature) * direction
    finite = norm.isfinite() & curvature.isfinite() & scaled.isfinite().all(-1, keepdim=True)
    outcome = _first_reason(
        (norm == 0.0, Outcome.ZERO_GRADIENT),
        (~norm.isfinite(), Outcome.NON_FINITE),
        (curvature <= 0.0, Outcome.NON_POSITIVE_CURVATURE),
        (~finite, Outcome.NON_FINITE),
    )
    step = torch.where(outcome == Outcome.STEPPED, scaled, 0.0)
    return Proposal(
        step,
        torch.where(outcome == Outcome.STEPPED, _dot(gradient, step), 0.0).squeeze(-1),
        torch.where(norm > 0.0, error / norm, 0.0).squeeze(-1),
        torch.where(size > 0.0, curvature / size, 0.0).squeeze(-1),
        solution.iterations,
        outcome.squeeze(-1),
    )


class Accepted(NamedTuple):
    """What a line search settled on."""

    parameters: Tensor
    """[R, P]: the accepted candidate, or the start to the last bit."""
    candidate: Tensor
    """[R] int64: k of the accepted candidate; -1: none."""
    scale: Tensor
    """[R] float64: share of the proposed step that was taken; 0: none."""
    kl: Tensor
    """[R]: as evaluated at the accepted candidate; 0 where none was."""
    gain: Tensor
    """[R]: as evaluated at the accepted candidate; 0 where none was."""
    outcome: Tensor
    """[R] int64: an `Outcome`."""


Evaluate = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Parameters [R, P] -> (KL from the anchor [R], surrogate there minus surrogate at the start [R])."""


def line_search(
    start: Tensor,
    proposal: Proposal,
    evaluate: Evaluate,
    delta: Tensor,
    shrink: Tensor,
    candidates: int,
) -> Accepted:
    """The first start + shrinkᵏ step, k = 0, 1, ..., with KL ≤ δ and a gain over the fixed start above 0.

    Candidates are rounded to the dtype of `start` [R, P] before they are evaluated, so that what was accepted
    is what is kept. Source: Schulman et al. 2015, 'Trust Region Policy Optimization', appendix C.
    """
    searching = (proposal.outcome == Outcome.STEPPED).unsqueeze(-1)
    origin, limit, factor = start.double(), delta.double().squeeze(-1), shrink.double()
    scale = torch.ones_like(factor)
    parameters = start
    chosen = torch.full_like(proposal.outcome, -1)
    share, kl, gain = (torch.zeros_like(proposal.predicted_gain) for _ in range(3))
    for k in range(candidates):
        # No number depends on leaving early: a run that has settled changes no more.
        if not searching.any():
            break
        candidate = (origin + scale * proposal.step).to(start.dtype)
        distance, better = (figure.double() for figure in evaluate(candidate))
        good = (distance <= limit) & (better > 0.0) & better.isfinite() & searching.squeeze(-1)
        parameters = torch.where(good.unsqueeze(-1), candidate, parameters)
        chosen = torch.where(good, k, chosen)
        share = torch.where(good, scale.squeeze(-1), share)
        kl, gain = torch.where(good, distance, kl), torch.where(good, better, gain)
        searching = searching & ~good.unsqueeze(-1)
        scale = scale * factor
    outcome = torch.where(searching.squeeze(-1), int(Outcome.LINE_SEARCH_FAILED), proposal.outcome)
    return Accepted(parameters, chosen, share, kl, gain, outcome)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(-1, keepdim=True)


def _first_reason(*reasons: tuple[Tensor, Outcome]) -> Tensor:
    """The first outcome whose mask is true, STEPPED where none is."""
    found = torch.zeros_like(reasons[0][0], dtype=torch.int64)
    for mask, reason in reversed(reasons):
        found = torch.where(mask, int(reason), found)
    return found
