"""Fitting the value function alone: gradient epochs that leave the policy where it is.

Shapes: R runs, S gradient steps, P parameters, of which the critic's columns are the value function's.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from rlcli.learner.optimisers import OPTIMISERS, clip_by_norm
from rlcli.learner.sgd import minibatches, value_error
from rlcli.learner.state import OptimiserState
from rlcli.learner.step import Step
from rlcli.nets.mlp import Heads


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
    losses, norms = [], []
    for epoch in range(epochs):
        for minibatch in minibatches(config, step.batch, step.permutations, epoch):
            heads, tape = network.forward(parts, minibatch.inputs)
            error = value_error(algo, heads.value, minibatch)
            scale = 1.0 / error.value.shape[-1] if algo.loss_reduction == "mean" else 1.0
            by_value = hyper.value_coef * error.slope * scale
            nothing = Heads(torch.zeros_like(heads.output), torch.zeros_like(heads.free), by_value)
            gradients, norm = clip_by_norm(network.backward(tape, nothing), hyper.max_grad_norm)
            rule.step(gradients)
            losses.append(error.value.mean(-1))
            norms.append(norm)
    return Fit(
        parameters.index_copy(1, columns, rule.parameters),
        state.with_part(columns, rule.state()),
        torch.stack(losses),
        torch.stack(norms),
    )
