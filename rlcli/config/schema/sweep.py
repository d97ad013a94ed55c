"""Keys of a search over hyperparameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rlcli.config.declaration import key

_SAMPLED = ("sampler", ("tpe", "random", "grid", "nsgaii"))
_PRUNED = ("pruner", ("median", "halving", "hyperband"))


@dataclass(frozen=True)
class SweepConfig:
    """Hyperparameter search of `rlcli train -m`; not part of a job's own settings."""

    sampler: str = key(
        "none",
        "Sampler of trials. none: train every combination of the values given; or Optuna's tree-structured "
        "Parzen estimator (tpe), random search, grid search, or the genetic algorithm NSGA-II.",
        choices=("none", "tpe", "random", "grid", "nsgaii"), effect="nothing",
    )  # fmt: skip
    trials: int | None = key(
        None, "Total number of trials; null: 20, with sampler=grid every point.", ge=1, le=1_000_000,
        effect="nothing", used_by=_SAMPLED,
    )  # fmt: skip
    replicas: int = key(
        1,
        "Seeds per trial, counted up from `seed`; a trial's value is the interquartile mean over them. Seeds "
        "are never searched over.",
        ge=1, le=10_000, effect="nothing", used_by=_SAMPLED,
    )  # fmt: skip
    parallel: int | None = key(
        None,
        "Trials sampled at once and trained together; null: 8, or all where the sampler learns nothing from "
        "results (random and grid without a pruner).",
        unit="trials", ge=1, le=100_000, effect="nothing", used_by=_SAMPLED,
    )  # fmt: skip
    sampler_seed: int = key(
        0, "Seed of the sampler: equal results give the same trials.", ge=0, lt=2**63, effect="nothing",
        used_by=_SAMPLED,
    )  # fmt: skip
    objective: tuple[str, ...] = key(
        ("eval/return_mean",),
        "Metrics of a job's last row to optimise; several: the Pareto front. -NAME: lower is better.",
        effect="nothing", used_by=_SAMPLED,
    )  # fmt: skip
    direction: tuple[str, ...] = key(
        (), "Direction in which each objective is better; empty: that of the metric, see `rlcli explain`.",
        choices=("higher", "lower"), effect="nothing", used_by=_SAMPLED,
    )  # fmt: skip
    space: dict[str, Any] = key(  # noqa: RUF009
        {},
        "Search space: keys, each with an expression in Hydra's grammar, such as choice(2,4,8), range(1,9), "
        "interval(0.9,1), tag(log,interval(1e-5,1e-2)), int(interval(1,8)). KEY=... on the command line "
        "takes precedence.",
        effect="nothing", used_by=_SAMPLED,
    )  # fmt: skip
    pruner: str = key(
        "none",
        "Pruner, which stops bad trials early: none; median stopping, below the median of finished trials at "
        "the same step; successive halving; or hyperband, which is successive halving in several brackets.",
        choices=("none", "median", "halving", "hyperband"), effect="nothing", used_by=_SAMPLED,
    )  # fmt: skip
    prune_every: int = key(
        10_000,
        "Interval of pruning: a trial is compared by train/return_100 once all its seeds have reached a "
        "multiple of this, and stops one update later.",
        unit="env steps", ge=1, lt=2**53, effect="nothing", used_by=_PRUNED,
    )  # fmt: skip
    prune_warmup: int = key(
        0, "Env steps before which no trial is pruned.", unit="env steps", ge=0, lt=2**53, effect="nothing",
        used_by=_PRUNED,
    )  # fmt: skip
    prune_startup: int = key(
        5, "Trials that must have finished before the median pruner stops any.", unit="trials", ge=1,
        effect="nothing", used_by=("pruner", ("median",)),
    )  # fmt: skip
    prune_factor: int = key(
        3, "Reduction factor: one trial in so many survives each rung.", ge=2, le=1_000, effect="nothing",
        used_by=("pruner", ("halving", "hyperband")),
    )  # fmt: skip
