"""Metrics of the user's own: figures of one run after each update, which change no other number.

Shapes: B samples, O observation width.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rlcli.config.schema.run import RunConfig
from rlcli.envs.untrusted import explained
from rlcli.extend import faults
from rlcli.extend.tables import METRICS, OwnMetric
from rlcli.learner.batch import Batch


class OneUpdate(NamedTuple):
    """What a metric of the user's reads of one run, on the whole batch of an update."""

    inputs: Tensor
    """[B, O]: observations as the network reads them."""
    actions: Tensor
    """[B] or [B, A]."""
    advantages: Tensor
    """[B]: as estimated, not whitened."""
    targets: Tensor
    """[B]: value targets."""
    values: Tensor
    """[B]: V before the update."""
    log_anchor: Tensor
    """[B]: log-probability of each action under the anchor."""
    log_prob: Tensor
    """[B]: under the policy after the update."""


class Figures(NamedTuple):
    """Figures of all runs, and whether each was a number."""

    values: dict[str, Tensor]
    """By name, [R] float64; NaN where a metric has none for an update."""
    sound: dict[str, Tensor]
    """By message, [R]."""


def own_figures(config: RunConfig, batch: Batch, values: Tensor, log_prob: Tensor) -> Figures:
    """The figures of the metrics that a config's modules registered."""
    figures = Figures({}, {})
    chosen = {name: one for name, one in METRICS.items() if one.module in config.imports}
    for name, metric in chosen.items():
        found = [_figure(name, metric, _of_run(batch, values, log_prob, run)) for run in range(len(values))]
        device = values.device
        figures.values[name] = torch.tensor(
            [math.nan if one is None else one for one in found], dtype=torch.float64, device=device
        )
        figures.sound[f"the metric {name} failed"] = torch.tensor(
            [one is not None for one in found], device=device
        )
    return figures


def _of_run(batch: Batch, values: Tensor, log_prob: Tensor, run: int) -> OneUpdate:
    parts = (batch.inputs, batch.actions, batch.advantages, batch.targets, values, batch.log_anchor, log_prob)
    return OneUpdate(*(part[run].clone() for part in parts))


def _figure(name: str, metric: OwnMetric, of: OneUpdate) -> float | None:
    """The figure of one run; None where there is none because the metric failed."""
    try:
        found: Any = metric.figure(of)
        if isinstance(found, Tensor) and found.numel() == 1:
            found = found.item()
        number = None if isinstance(found, bool | str) else float(found)
    except BaseException as error:
        faults.note(f"{metric.place}: the metric {name} raised {explained(error)}")
        return None
    if number is None or math.isinf(number):
        faults.note(
            f"{metric.place}: the metric {name} gave {found!r}, expected a finite number, or NaN for none"
        )
        return None
    return number
