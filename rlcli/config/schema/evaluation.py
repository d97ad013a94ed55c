"""Keys of evaluation, and of early stopping by a metric."""

from __future__ import annotations

from dataclasses import dataclass

from rlcli.config.declaration import key


@dataclass(frozen=True)
class EvalConfig:
    """Evaluation on separate environments, with the same episode seeds each time."""

    every: int | None = key(
        None,
        "Evaluate at the first update that reaches a multiple of this; 0: only at the end; null: a tenth of "
        "total_steps, or only at the end where the run has fewer than 10 updates or an evaluation could take "
        "over 5% of its training time. The first evaluation decides, and manifest.json records it.",
        unit="env steps", ge=0, resumable=True, absent=0,
    )  # fmt: skip
    episodes: int = key(
        10, "Episodes per evaluation; 0 disables evaluation.", ge=0, le=1_000_000, resumable=True
    )
    max_steps: int = key(
        100_000, "Steps after which an evaluation stops an episode that the environment has not ended.",
        unit="steps", ge=1, resumable=True,
    )  # fmt: skip
    video_every: int = key(
        0,
        "Film the best and the worst episode of the first evaluation that reaches a multiple of this, into "
        "videos/ of the run; 0: none. No figure depends on it.",
        unit="env steps", ge=0, effect="nothing", resumable=True,
    )  # fmt: skip


@dataclass(frozen=True)
class StopAtConfig:
    """Early stopping: the run ends, as finished, once a metric has reached a threshold."""

    metric: str = key(
        "eval/return_mean",
        "Metric compared with stop_at.threshold: one of evaluations (eval/...), after each of the schedule "
        "eval.every; or of training, such as train/return_100, after each update whose row has it. `rlcli "
        "explain METRIC` says which way it is better.",
        cohort=True, resumable=True,
    )  # fmt: skip
    threshold: float | None = key(
        None,
        "The run ends once the metric is at least this (at most, where lower is better); null: no early "
        "stopping.",
        cohort=True, resumable=True,
    )  # fmt: skip
    evaluations: int = key(
        1, "Consecutive evaluations (of a training metric: updates) that must reach the threshold.", ge=1,
        le=1_000_000, cohort=True, resumable=True,
    )  # fmt: skip
