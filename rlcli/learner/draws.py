"""Which samples go into which minibatch: random orders of a batch, drawn anew for every epoch.

Shapes: T time, N environments of one run, R runs, B = T N samples, M minibatches, b = B / M.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from rlcli.config.schema import RunConfig
from rlcli.maths.draws import generator


def permutation(
    config: RunConfig,
    seeds: Sequence[int],
    updates: Sequence[int],
    epoch: int,
    samples: int | None = None,
    stream: str = "permutation",
) -> Tensor:
    """Each run's order of its samples in one epoch, [R, B]; `samples`: of so many, B without it."""
    count = config.batch_size if samples is None else samples
    return _permutations(seeds, updates, epoch, count, stream)


def sequences(config: RunConfig, seeds: Sequence[int], updates: Sequence[int], epoch: int) -> Tensor:
    """As `permutation`, of whole environments: each of the M parts of [R, B] holds N / M of them.

    Within a part samples are time-major, [T, N / M].
    """
    steps, parts = config.algo.rollout_steps, config.algo.minibatches
    drawn = _permutations(seeds, updates, epoch, config.env.num_envs, "permutation")
    chosen = drawn.view(len(drawn), parts, 1, -1)
    starts = config.env.num_envs * torch.arange(steps).view(1, 1, -1, 1)
    return (starts + chosen).flatten(1)


def shuffle(order: Tensor, parts: int) -> Callable[[Tensor], Tensor]:
    """Fields [R, B, ...] -> [M, R, b, ...] with each run's samples in its own order [R, B]."""
    runs, samples = order.shape
    rows = order + samples * torch.arange(runs, device=order.device).unsqueeze(1)
    index = rows.view(runs, parts, -1).transpose(0, 1)
    flat = index.flatten()
    return lambda field: field.flatten(0, 1).index_select(0, flat).view(*index.shape, *field.shape[2:])


def _permutations(
    seeds: Sequence[int], updates: Sequence[int], epoch: int, count: int, stream: str
) -> Tensor:
    pairs = zip(seeds, updates, strict=True)
    return torch.stack(
        [torch.randperm(count, generator=generator(seed, stream, done, epoch)) for seed, done in pairs]
    )
