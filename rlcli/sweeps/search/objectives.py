"""Objectives and settings of a search: metrics with directions, values of trials, checks, base.yaml."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rlcli.catalog.table import METRICS
from rlcli.config.faults import Fault
from rlcli.config.schema.run import RunConfig
from rlcli.config.schema.sweep import SweepConfig
from rlcli.config.serialise import from_yaml, to_yaml
from rlcli.errors import StorageError, UserError, unknown
from rlcli.maths.location import interquartile_mean
from rlcli.store import own_runs
from rlcli.store.files import is_there, read_text, write_atomically

RETURN = "eval/return_mean"
BASE = "base.yaml"
"""File in the sweep's directory with the settings of a search."""


@dataclass(frozen=True)
class Objective:
    """A metric and which way it is better."""

    metric: str
    higher: bool

    def better(self, left: float, right: float) -> bool:
        """Whether one value is better than another."""
        return left > right if self.higher else left < right


def objectives(sweep: SweepConfig) -> list[Objective]:
    """The objectives of a sweep whose settings are valid."""
    directions = sweep.direction or (None,) * len(sweep.objective)
    return [_objective(text, given) for text, given in zip(sweep.objective, directions, strict=True)]


def values_of(rows: Sequence[Mapping[str, float]], wanted: Sequence[Objective]) -> list[float] | None:
    """The interquartile mean of each objective over the seeds' last rows; None if a row lacks one."""
    if not rows or any(one.metric not in row for row in rows for one in wanted):
        return None
    return [interquartile_mean([row[one.metric] for row in rows]) for one in wanted]


def best(values: Sequence[Sequence[float]], wanted: Sequence[Objective]) -> list[int]:
    """Positions of the values that no other dominates: the best; with several objectives the Pareto front."""

    def dominates(left: Sequence[float], right: Sequence[float]) -> bool:
        pairs = list(zip(wanted, left, right, strict=True))
        worse = any(one.better(theirs, ours) for one, ours, theirs in pairs)
        return not worse and any(one.better(ours, theirs) for one, ours, theirs in pairs)

    return [
        position for position, own in enumerate(values) if not any(dominates(other, own) for other in values)
    ]


def _objective(text: str, given: str | None) -> Objective:
    name = text.removeprefix("-")
    if given is not None:
        return Objective(name, given == "higher")
    return Objective(name, text == name and METRICS[name].direction != "lower")


def write_settings(directory: Path, settings: RunConfig) -> None:
    """Writes base.yaml."""
    if is_there(directory / BASE):
        own_runs.renew(directory, settings, BASE)
    else:
        own_runs.remember(directory, settings, file=BASE)
    write_atomically(directory / BASE, to_yaml(settings).encode())


def read_settings(directory: Path) -> RunConfig:
    """The settings that the trials of a sweep are composed from and compared by.

    Raises:
        StorageError: base.yaml is missing or damaged.
        UserError: Optuna is missing.
    """
    path = directory / BASE
    settings = from_yaml(read_text(path), str(path))
    faults = [fault for fault in search_fits(settings, {}) if "sweep.sampler" not in fault.keys]
    if settings.sweep.sampler == "none" or faults:
        reason = "; ".join(fault.text for fault in faults) or "it has no sampler"
        raise StorageError(f"{path} is damaged: {reason}")
    missing = [fault.text for fault in search_fits(settings, {})]
    if missing:
        raise UserError(*missing)
    return settings


def search_fits(config: RunConfig, _: Mapping[str, str]) -> Iterator[Fault]:
    """Faults of a search: unknown or unmeasured objectives, and pruners that cannot compare by them."""
    sweep = config.sweep
    if sweep.sampler == "none":
        return
    if importlib.util.find_spec("optuna") is None:
        yield Fault(
            f"sweep.sampler={sweep.sampler} needs Optuna: pip install 'rlcli[optuna]'.",
            frozenset({"sweep.sampler"}),
        )
    yield from _objective_faults(config)
    if len(sweep.direction) not in (0, len(sweep.objective)):
        yield Fault(
            f"sweep.direction has {len(sweep.direction)} entries for the {len(sweep.objective)} of "
            "sweep.objective.",
            frozenset({"sweep.direction"}),
        )
    if sweep.pruner != "none" and len(sweep.objective) > 1:
        yield Fault(
            f"sweep.pruner={sweep.pruner} compares one figure; with several objectives use "
            "sweep.pruner=none.",
            frozenset({"sweep.pruner", "sweep.objective"}),
        )
    alone = config.backend != "native" or config.cohort.max_size is not None
    if sweep.pruner != "none" and sweep.replicas > (config.cohort.max_size or 1) and alone:
        how = f"cohort.max_size={config.cohort.max_size}" if config.backend == "native" else "backend=sb3"
        yield Fault(
            f"sweep.pruner={sweep.pruner} compares a trial by all its {sweep.replicas} seeds at once, which "
            f"{how} trains apart; use sweep.pruner=none or sweep.replicas=1.",
            frozenset({"sweep.pruner", "sweep.replicas", "cohort.max_size", "backend"}),
        )


def _objective_faults(config: RunConfig) -> Iterator[Fault]:
    sweep, keys = config.sweep, frozenset({"sweep.objective"})
    if not sweep.objective:
        yield Fault("sweep.objective is empty: name a metric, such as eval/return_mean.", keys)
    names = [text.removeprefix("-") for text in sweep.objective]
    if len(set(names)) < len(names):
        yield Fault(f"sweep.objective names a metric twice: {', '.join(names)}.", keys)
    for text, name in zip(sweep.objective, names, strict=True):
        metric = METRICS.get(name)
        if metric is None or name.startswith("epochs/"):
            yield Fault(f"sweep.objective: {unknown('metric', name, list(METRICS))}", keys)
        elif metric.direction == "neither" and text == name and not sweep.direction:
            yield Fault(
                f"sweep.objective: {name} is neither better high nor low by itself: write -{name} if low is, "
                "or sweep.direction=[higher].",
                keys,
            )
        elif name.startswith("eval/") and config.eval.episodes == 0:
            yield Fault(
                f"sweep.objective={name} needs evaluation; eval.episodes=0.", keys | {"eval.episodes"}
            )
        if text != name and sweep.direction:
            yield Fault(f"sweep.objective={text}: give the direction once, by - or by sweep.direction.", keys)
