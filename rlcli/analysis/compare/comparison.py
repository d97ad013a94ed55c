"""Comparison of groups of runs: scores with intervals over seeds, pairs, health, and profiles."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from rlcli.analysis.compare.comparable import EVALUATION, TRAINING, entrants
from rlcli.analysis.compare.overall import OverAll, over_all
from rlcli.analysis.compare.place import Place, place
from rlcli.analysis.compare.profiles import RangeScaling, Scaling
from rlcli.analysis.groups import Group, by_environment, methods, mixed
from rlcli.analysis.selection import Run
from rlcli.catalog.table import METRICS
from rlcli.store.manifest import Manifest

Thresholds = Callable[[str, str], float | None]
"""The threshold of an environment, by its id, for a metric; None where it has none."""


@dataclass(frozen=True)
class Comparison:
    """Result of a comparison."""

    metric: str
    lower_is_better: bool
    labels: tuple[str, ...]
    places: tuple[Place, ...]
    over_all: OverAll
    notes: tuple[str, ...]
    """What was left out or chosen, in sentences."""


def compare(
    runs: Sequence[Run],
    thresholds: Thresholds,
    *,
    by: Sequence[str] | None = None,
    metric: str | None = None,
    until: float | None = None,
    scaling: Scaling | None = None,
    force: bool = False,
) -> Comparison:
    """Compares groups of runs.

    Scores over several environments are normalised by `scaling`, without it by the range of the runs.

    Raises:
        UserError: see `entrants`; or no run has a key of `by`.
    """
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of values that are equal but for rounding, or huge
        return _compare(runs, thresholds, by, metric, until, scaling or RangeScaling(), force)


def _compare(
    runs: Sequence[Run],
    thresholds: Thresholds,
    by: Sequence[str] | None,
    metric: str | None,
    until: float | None,
    scaling: Scaling,
    force: bool,
) -> Comparison:
    found = entrants(runs, metric, until, force=force)
    known = {id(one.run): one for one in found.entrants}
    groups = methods([one.run for one in found.entrants], by)
    lower = found.metric in METRICS and METRICS[found.metric].direction == "lower"
    places = []
    for env, members in by_environment([one.run for one in found.entrants]):
        within = [known[id(run)] for run in members]
        places.append(place(env, within, groups, found.metric, thresholds(env, found.metric), lower))
    labels = [group.label for group in groups]
    overall = over_all(labels, places, scaling, found.metric, lower)
    return Comparison(
        metric=found.metric,
        lower_is_better=lower,
        labels=tuple(labels),
        places=tuple(places),
        over_all=overall,
        notes=(*found.notes, *_notes_on_groups(groups, places, found.metric), *overall.notes),
    )


def _notes_on_groups(groups: Sequence[Group], places: Sequence[Place], metric: str) -> Iterator[str]:
    for group in groups:
        keys = mixed(group.runs)
        if keys:
            yield f"The runs of {group.label} differ in {', '.join(keys)}, not only in their seeds."
    cells = [cell for place in places for cell in place.cells]
    timed = [
        run for place in places if place.threshold is not None for cell in place.cells for run in cell.runs
    ]
    if any(len(Manifest.read(run.dir).content["cohort"]) > 1 for run in timed):
        yield "Seconds of runs that trained together, in a cohort, are those of the whole cohort."
    single = [math.isnan(one.best) for cell in cells for one in cell.scores]
    if any(single):
        which = "All runs" if all(single) else "Some runs"
        more = f"; compare with --metric {TRAINING} for these." if metric == EVALUATION else "."
        yield f"{which} have one value only, so no best value, area or time to a threshold{more}"
