"""Random rollouts with every kind of end, for tests of estimators; all [T, R, N] float64."""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import torch
from torch import Tensor

SMALLEST, LARGEST = 0.08, 12.0
"""The range of importance ratios, far beyond either side of every cap in use."""
SHAPES = [(17, 3, 4), (1, 2, 4), (1, 1, 1), (9, 1, 1), (9, 4, 1), (30, 1, 8)]
"""Rollouts of T steps, R runs, N environments; a batch of one among them."""


class Steps(NamedTuple):
    """What every estimator reads."""

    rewards: Tensor
    values: Tensor
    next_values: Tensor
    terminated: Tensor
    truncated: Tensor


def rollout(steps: int, runs: int, envs: int, ends: float, seed: int = 0) -> Steps:
    """Rewards and a critic's values; within an episode the successor's value is the next row's."""
    draw = torch.Generator().manual_seed(seed)
    rewards, values, next_values = torch.randn(3, steps, runs, envs, dtype=torch.float64, generator=draw)
    terminated = torch.rand(steps, runs, envs, generator=draw) < ends
    truncated = torch.rand(steps, runs, envs, generator=draw) < ends
    for kind, (end, cut) in enumerate(itertools.product((False, True), repeat=2)):
        terminated.view(steps, -1)[-1, kind::4] = end
        truncated.view(steps, -1)[-1, kind::4] = cut
    going = ~(terminated | truncated)
    going[-1] = False
    return Steps(rewards, values, torch.where(going, values.roll(-1, 0), next_values), terminated, truncated)


def log_ratios(steps: int, runs: int, envs: int, seed: int = 0) -> Tensor:
    """log π/μ, uniform over the whole range."""
    draw = torch.Generator().manual_seed(1000 + seed)
    share = torch.rand(steps, runs, envs, dtype=torch.float64, generator=draw)
    return math.log(SMALLEST) + share * math.log(LARGEST / SMALLEST)


def per_run(runs: int, first: float, last: float) -> Tensor:
    """A hyperparameter that differs between runs, [R, 1]."""
    return torch.linspace(first, last, runs, dtype=torch.float64).unsqueeze(1)


def columns(shape: torch.Size) -> itertools.product[tuple[int, int]]:
    """(run, environment) of a [T, R, N] rollout."""
    return itertools.product(range(shape[1]), range(shape[2]))


def alone(members: list[int], *parts: Tensor) -> list[Tensor]:
    """Some runs of time-major tensors [T, R, N], as a rollout of their own."""
    return [part[:, members].contiguous() for part in parts]
