"""The metrics of an update as one row per run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from rlcli.backends.session import Array, Row
from rlcli.collect.rollout import Episodes
from rlcli.collect.state import CollectorState
from rlcli.config.schema.run import RunConfig
from rlcli.learner.update import Update


def metric_rows(
    configs: Sequence[RunConfig],
    done: Sequence[int],
    result: Update,
    episodes: Sequence[Episodes],
    collectors: Sequence[CollectorState],
) -> list[Row]:
    """Every run's metrics: all figures in one table, copied to the host once; undefined ones left out."""
    per_epoch = [(name, value) for name, values in result.epochs.items() for value in values]
    table = torch.stack([*result.figures.values(), *(value for _, value in per_epoch)]).cpu().numpy()
    rows: list[Row] = []
    for r, config in enumerate(configs):
        row: Row = {"update": done[r] + 1, "env_steps": (done[r] + 1) * config.batch_size}
        row |= _episode_figures(episodes[r], collectors[r])
        values = table[:, r].tolist()
        figures = zip(result.figures, values[: len(result.figures)], strict=True)
        row |= {name: value for name, value in figures if value == value}
        for (name, _), value in zip(per_epoch, values[len(result.figures) :], strict=True):
            if value == value:
                row.setdefault(name, []).append(value)
        rows.append(row)
    return rows


def _episode_figures(ended: Episodes, collector: CollectorState) -> Row:
    figures: Row = {"train/episodes": len(ended.returns)}
    if ended.returns:
        figures["train/return_mean"] = _mean(ended.returns)
        figures["train/length_mean"] = _mean(ended.lengths)
    if len(collector.recent):
        figures["train/return_100"] = _mean(collector.recent)
    return figures


def _mean(values: Sequence[float] | Array) -> float:
    """As `np.mean`, which takes several times as long on a few numbers."""
    return float(np.add.reduce(np.asarray(values, np.float64))) / len(values)
