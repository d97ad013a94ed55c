"""Permutations of a batch into minibatches, one draw per run and epoch.

Shapes: T time, N environments of one run, R runs, B = T N samples, M minibatches, b = B / M.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from rlcli.config.schema.run import RunConfig
from rlcli.maths.draws import generator

PERMUTATION = "permutation"
"""The stream of an epoch's minibatches."""

Draw = Callable[[Sequence[int], Sequence[int], int, int, str], Tensor]
"""As `permutation`."""


def permutation(
    seeds: Sequence[int], updates: Sequence[int], epoch: int, samples: int, stream: str = PERMUTATION
) -> Tensor:
    """Each run's order of its samples in one epoch, [R, B]."""
    draws = [
        torch.randperm(samples, generator=generator(seed, stream, update, epoch))
        for seed, update in zip(seeds, updates, strict=True)
    ]
    return torch.stack(draws)


def sequences(
    draw: Draw, seeds: Sequence[int], updates: Sequence[int], epoch: int, config: RunConfig
) -> Tensor:
    """As `permutation`, of whole environments: each of the M parts of [R, B] has N / M of them.

    Within a part samples are time-major, [T, N / M].
    """
    steps, envs = config.algo.rollout_steps, config.env.num_envs
    chosen = draw(seeds, updates, epoch, envs, PERMUTATION).view(len(seeds), config.algo.minibatches, 1, -1)
    starts = envs * torch.arange(steps).view(1, 1, -1, 1)
    return (starts + chosen).flatten(1)


def shuffle_sequences(order: Tensor, parts: int, envs: int) -> Callable[[Tensor], Tensor]:
    """As `shuffle` by an order of `sequences`, of fields [R, N, ...] that have one row an environment."""
    firsts = order.view(len(order), parts, -1)[:, :, : envs // parts]
    return shuffle(firsts.flatten(1), parts)


def shuffle(order: Tensor, parts: int) -> Callable[[Tensor], Tensor]:
    """Fields [R, B, ...] -> [M, R, b, ...] with each run's samples in its own order [R, B]."""
    runs, samples = order.shape
    rows = order + samples * torch.arange(runs, device=order.device).unsqueeze(1)
    index = rows.view(runs, parts, -1).transpose(0, 1)
    flat = index.flatten()
    return lambda field: field.flatten(0, 1).index_select(0, flat).view(*index.shape, *field.shape[2:])
