"""The numbers that may differ between runs of a cohort, as float32 tensors [R, 1], schedules applied."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rlcli.config.schema import RunConfig


class Hyperparameters(NamedTuple):
    """One update's hyperparameters, each [R, 1]; a null limit is infinity."""

    learning_rate: Tensor
    adam_eps: Tensor
    adam_beta1: Tensor
    adam_beta2: Tensor
    rmsprop_decay: Tensor
    rmsprop_eps: Tensor
    clip: Tensor
    delta: Tensor
    cg_tolerance: Tensor
    cg_damping: Tensor
    line_search_shrink: Tensor
    beta_clone: Tensor
    gamma: Tensor
    gae_lambda: Tensor
    rho_bar: Tensor
    c_bar: Tensor
    entropy_coef: Tensor
    value_coef: Tensor
    max_grad_norm: Tensor
    target_kl: Tensor
    weight_bar: Tensor
    weight_cap: Tensor
    """NaN: the root of the number of samples."""


def stops_early(configs: Sequence[RunConfig]) -> bool:
    """Whether any run has a target_kl; for those without one it is infinite."""
    return any(config.algo.target_kl is not None for config in configs)


def remaining(config: RunConfig, update: int) -> float:
    """The share of `schedule_steps` that lies ahead when `update` updates are done, in [0, 1]."""
    return max(0.0, 1.0 - update * config.batch_size / config.horizon(update))


def hyperparameters(configs: Sequence[RunConfig], updates: Sequence[int], device: str) -> Hyperparameters:
    """The values in force during the update that follows `updates[r]` done ones."""
    rows = [_row(config, done) for config, done in zip(configs, updates, strict=True)]
    table = torch.tensor(rows, dtype=torch.float64).float().to(device)
    return Hyperparameters(*(column.unsqueeze(1).contiguous() for column in table.unbind(1)))


def _row(config: RunConfig, done: int) -> list[float]:
    algo, ahead = config.algo, remaining(config, done)
    factors = {
        "learning_rate": ahead if algo.learning_rate_schedule == "linear" else 1.0,
        "clip": ahead if algo.clip_schedule == "linear" else 1.0,
    }
    row = []
    for name in Hyperparameters._fields:
        value = getattr(algo, name)
        if value is None:
            row.append(math.inf)
        elif isinstance(value, str):
            row.append(math.nan)
        else:
            row.append(value * factors.get(name, 1.0))
    return row
