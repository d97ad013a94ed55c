"""Fitting the value function alone: gradient epochs that leave the policy where it is.

Shapes: R runs, S gradient steps, P parameters, of which the critic's part moves.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rlcli.learner.algorithm import Start
from rlcli.learner.operations import Fit
from rlcli.learner.optimisers import clip_by_norm_
from rlcli.learner.sgd import minibatches, value_error
from rlcli.learner.state import OptimiserState
from rlcli.nets.network import CRITIC


def fit(start: Start, parameters: Tensor, state: OptimiserState, epochs: int) -> Fit:
    """`epochs` passes over the batch from `parameters` [R, P] down the value loss times its coefficient."""
    algorithm, hyper, network, critic = start.algorithm, start.hyper, start.model.network, start.model.critic
    algo = start.configs[0].algo
    block = network.parts[CRITIC]
    # A state of both heads of a shared trunk has those of V at its end.
    moving = slice(state.first.shape[1] - (block.stop - block.start), None)
    rule = algorithm.optimiser(parameters, state.part(moving), hyper, epochs * algo.minibatches, block)
    batch = start.batch._replace(inputs=network.entering(parameters, start.batch.inputs, CRITIC))
    samples = start.configs[0].batch_size // algo.minibatches
    scale = hyper.value_coef if algorithm.sums_losses else hyper.value_coef / samples
    errors, norms = [], []
    for epoch in range(epochs):
        for minibatch in minibatches(start, batch, epoch):
            linear = network.linearise(rule.parameters, minibatch.inputs, minibatch.memory, part=CRITIC)
            head, actions = linear.heads.value, minibatch.actions
            error = value_error(algo.value_clip, critic.predictions(head, actions), minibatch)
            by_heads = linear.heads._replace(value=critic.pullback(scale * error.slope, head, actions))
            gradients, norm = clip_by_norm_(linear.vjp(by_heads), hyper.max_grad_norm)
            rule.step(gradients)
            errors.append(error.value)
            norms.append(norm)
    kept = state.with_part(moving, rule.state())
    return Fit(rule.parameters, kept, torch.stack(errors).mean(-1), torch.stack(norms))
