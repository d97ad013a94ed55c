"""Fitting the value function alone: gradient epochs that leave the policy where it is.

Shapes: R runs, S gradient steps, P parameters, of which the critic's columns are the value function's.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from rlcli.learner.optimisers import OPTIMISERS, clip_by_norm_
from rlcli.learner.sgd import minibatches, value_error
from rlcli.learner.state import OptimiserState
from rlcli.learner.step import Step


class Fit(NamedTuple):
    """What the epochs came to."""

    parameters: Tensor
    """[R, P]."""
    optimiser: OptimiserState
    losses: Tensor
    """[S, R]: the value loss, without its coefficient."""
    gradient_norms: Tensor
    """[S, R], before clipping."""


def fit(step: Step, parameters: Tensor, epochs: int) -> Fit:
    """`epochs` passes over the batch from `parameters` [R, P] down the value loss times its coefficient."""
    config, hyper, state = step.configs[0], step.hyper, step.optimiser
    algo = config.algo
    whole = step.model.network
    network, columns = whole.critic, whole.critic_columns.to(parameters.device)
    planned = epochs * algo.minibatches
    rule = OPTIMISERS[algo.optimiser](parameters[:, columns], state.part(columns), hyper, planned)
    parts = network.unflatten(rule.parameters)
    samples = config.batch_size // algo.minibatches
    scale = hyper.value_coef / samples if algo.loss_reduction == "mean" else hyper.value_coef
    errors, norms = [], []
    for epoch in range(epochs):
        for minibatch in minibatches(config, step.batch, step.permutations, epoch):
            heads, tape = network.forward(parts, minibatch.inputs)
            error = value_error(algo, heads.value, minibatch)
            gradients = network.backward(tape, heads._replace(value=scale * error.slope))
            gradients, norm = clip_by_norm_(gradients, hyper.max_grad_norm)
            rule.step(gradients)
            errors.append(error.value)
            norms.append(norm)
    return Fit(
        parameters.index_copy(1, columns, rule.parameters),
        state.with_part(columns, rule.state()),
        torch.stack(errors).mean(-1),
        torch.stack(norms),
    )
