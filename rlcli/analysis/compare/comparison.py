"""Comparison of groups of runs: scores with intervals over seeds, pairs, health, and profiles."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rlcli.analysis.compare import scores as of_runs
from rlcli.analysis.compare.comparable import EVALUATION, HEALTH, TRAINING, Entrant, entrants
from rlcli.analysis.compare.pairs import Against, against, probability_of_improvement
from rlcli.analysis.compare.profiles import Profile, Scale, normalised, observed_range, profile
from rlcli.analysis.compare.scores import Scores
from rlcli.analysis.groups import Group, by_environment, methods, mixed
from rlcli.analysis.history import Array
from rlcli.analysis.selection import Run
from rlcli.analysis.statistics import NORMALISED, STATISTICS, Estimate, estimate
from rlcli.catalog import METRICS
from rlcli.store.manifest import Manifest

ALL_PAIRS = 6
"""Groups of which every two are compared; of more, each with the best."""

Thresholds = Callable[[str, str], float | None]
"""The threshold of an environment, by its id, for a metric; None where it has none."""
Scales = Callable[[Mapping[str, Sequence[Array]]], dict[str, Scale | None]]
"""The scale of each environment, from the final values of each group there."""


@dataclass(frozen=True)
class Health:
    """A health metric over a group: the mean over updates of each run, then over runs."""

    mean: float
    low: float
    """Lowest value of a single update."""
    high: float
    """Highest value of a single update."""


@dataclass(frozen=True)
class Cell:
    """One group in one environment."""

    label: str
    runs: tuple[Run, ...]
    scores: tuple[Scores, ...]
    """One per run."""
    estimates: Mapping[str, Mapping[str, Estimate]]
    """By score (final, best, area) and statistic; a score that some run lacks is absent."""
    health: Mapping[str, Health]

    @property
    def seeds(self) -> list[int]:
        """The seed of each run."""
        return [int(run.summary["seed"]) for run in self.runs]

    def values(self, score: str) -> Array:
        """A score of each run, `[N]`."""
        return np.array([getattr(one, score) for one in self.scores])

    def reached(self) -> int | None:
        """Runs that reach the threshold; None without one, or where a run has no values on the way."""
        steps = self.values("steps")
        return None if np.isnan(steps).any() else int(np.isfinite(steps).sum())

    def time_to(self, score: str) -> float:
        """Median over runs of the steps or seconds to the threshold; infinite where half never reach it."""
        return float(np.median(self.values(score)))


@dataclass(frozen=True)
class Pair:
    """Two groups in one environment."""

    first: str
    second: str
    found: Against


@dataclass(frozen=True)
class Place:
    """All groups in one environment."""

    env: str
    budget: float
    threshold: float | None
    cells: tuple[Cell, ...]
    pairs: tuple[Pair, ...]


@dataclass(frozen=True)
class Overall:
    """A group over several environments, by normalised final values."""

    label: str
    estimates: Mapping[str, Estimate]
    profile: Profile


@dataclass(frozen=True)
class Comparison:
    """Result of a comparison."""

    metric: str
    lower_is_better: bool
    labels: tuple[str, ...]
    places: tuple[Place, ...]
    scales: Mapping[str, Scale]
    """The final values that are 0 and 1, of the environments that count for `overall`."""
    overall: tuple[Overall, ...]
    """Groups that ran in all of these; empty with one environment."""
    improvements: Mapping[tuple[str, str], Estimate]
    """Probability of improvement over these environments, of two groups of `overall`."""
    notes: tuple[str, ...]


def compare(
    runs: Sequence[Run],
    thresholds: Thresholds,
    *,
    by: Sequence[str] | None = None,
    metric: str | None = None,
    until: float | None = None,
    scales: Scales | None = None,
    force: bool = False,
) -> Comparison:
    """Compares groups of runs.

    Raises:
        UserError: see `entrants`; or no run has a key of `by`.
    """
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of values that are equal but for rounding, or huge
        return _compare(runs, thresholds, by, metric, until, scales, force)


def _compare(
    runs: Sequence[Run],
    thresholds: Thresholds,
    by: Sequence[str] | None,
    metric: str | None,
    until: float | None,
    scales: Scales | None,
    force: bool,
) -> Comparison:
    found = entrants(runs, metric, until, force=force)
    notes = list(found.notes)
    known = {id(one.run): one for one in found.entrants}
    groups = methods([one.run for one in found.entrants], by)
    lower = found.metric in METRICS and METRICS[found.metric].direction == "lower"
    places = []
    for env, members in by_environment([one.run for one in found.entrants]):
        within = [known[id(run)] for run in members]
        places.append(_place(env, within, groups, found.metric, thresholds(env, found.metric), lower))
    notes += _notes_on_groups(groups, places, found.metric)
    complete = [group.label for group in groups if _is_everywhere(group.label, places)]
    used = _scales(places, complete, scales, lower, notes) if len(places) > 1 else {}
    overall = [_overall(label, places, used) for label in complete] if used else []
    return Comparison(
        metric=found.metric,
        lower_is_better=lower,
        labels=tuple(group.label for group in groups),
        places=tuple(places),
        scales=used,
        overall=tuple(overall),
        improvements=dict(_improvements(complete, places, used)),
        notes=tuple(notes),
    )


def _place(
    env: str,
    within: Sequence[Entrant],
    groups: Sequence[Group],
    metric: str,
    threshold: float | None,
    lower: bool,
) -> Place:
    budget = max(one.budget for one in within)
    stretch = of_runs.stretch([one.history for one in within], metric, min(one.budget for one in within))
    known = {id(one.run): one for one in within}
    cells = []
    for group in groups:
        members = [known[id(run)] for run in group.runs if id(run) in known]
        if members:
            made = [
                of_runs.scores(one.history, metric, stretch, threshold, lower_is_better=lower)
                for one in members
            ]
            cells.append(_cell(group.label, members, made))
    return Place(env, budget, threshold, tuple(cells), tuple(_pairs(cells, lower)))


def _cell(label: str, members: Sequence[Entrant], made: Sequence[Scores]) -> Cell:
    estimates = {}
    for score in ("final", "best", "area"):
        values = np.array([getattr(one, score) for one in made])
        if np.isfinite(values).all():
            estimates[score] = {name: estimate(function, values) for name, function in STATISTICS.items()}
    health = {name: found for name in HEALTH if (found := _health(name, members))}
    return Cell(label, tuple(one.run for one in members), tuple(made), estimates, health)


def _health(name: str, members: Sequence[Entrant]) -> Health | None:
    columns = [values for one in members if len(values := one.history.points(name, "updates")[1])]
    if not columns:
        return None
    return Health(
        mean=float(np.mean([values.mean() for values in columns])),
        low=float(min(values.min() for values in columns)),
        high=float(max(values.max() for values in columns)),
    )


def _pairs(cells: Sequence[Cell], lower: bool) -> Iterator[Pair]:
    """Every two groups, or where there are many each with the best."""
    if len(cells) <= ALL_PAIRS:
        chosen = list(itertools.combinations(cells, 2))
    else:
        sign = -1 if lower else 1
        best = max(cells, key=lambda cell: sign * cell.estimates["final"]["iqm"].value)
        chosen = [(best, cell) for cell in cells if cell is not best]
    for first, second in chosen:
        x, y = first.values("final"), second.values("final")
        yield Pair(first.label, second.label, against(x, y, first.seeds, second.seeds, lower_is_better=lower))


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
    if all(math.isnan(one.best) for cell in cells for one in cell.scores):
        yield "Runs have one value each, so there is no best value, area or time to a threshold" + _advice(
            metric
        )
    elif any(math.isnan(one.best) for cell in cells for one in cell.scores):
        yield "Groups with runs of one value have no best value, area or time to a threshold" + _advice(
            metric
        )


def _advice(metric: str) -> str:
    """End of a sentence: which metric has more values."""
    return f"; --metric {TRAINING} has." if metric == EVALUATION else "."


def _is_everywhere(label: str, places: Sequence[Place]) -> bool:
    return all(any(cell.label == label for cell in place.cells) for place in places)


def _finals(label: str, places: Sequence[Place]) -> list[Array]:
    """Final values of a group in each environment."""
    return [cell.values("final") for place in places for cell in place.cells if cell.label == label]


def _scales(
    places: Sequence[Place], complete: Sequence[str], chosen: Scales | None, lower: bool, notes: list[str]
) -> dict[str, Scale]:
    """The scale of each environment that counts over all."""
    everywhere = set(complete)
    for place in places:
        for cell in place.cells:
            if cell.label not in everywhere:
                text = f"{cell.label} has no runs in some environments: it is left out over all of them."
                notes.extend([] if text in notes else [text])
    if not complete:
        return {}
    finals = {place.env: [cell.values("final") for cell in place.cells] for place in places}
    made = (
        {env: observed_range(values, lower_is_better=lower) for env, values in finals.items()}
        if chosen is None
        else chosen(finals)
    )
    notes.extend(
        f"{env} is left out over all environments: no two of its final values differ."
        for env, scale in made.items()
        if scale is None
    )
    used = {env: scale for env, scale in made.items() if scale is not None}
    return used if len(used) > 1 else {}


def _samples(label: str, places: Sequence[Place], scales: Mapping[str, Scale]) -> list[Array]:
    """Normalised final values of a group, one sample per environment."""
    used = [place for place in places if place.env in scales]
    return [
        normalised(values, scales[place.env])
        for place, values in zip(used, _finals(label, used), strict=True)
    ]


def _overall(label: str, places: Sequence[Place], scales: Mapping[str, Scale]) -> Overall:
    samples = _samples(label, places, scales)
    estimates = {name: estimate(function, *samples) for name, function in NORMALISED.items()}
    return Overall(label, estimates, profile(samples))


def _improvements(
    labels: Sequence[str], places: Sequence[Place], scales: Mapping[str, Scale]
) -> Iterator[tuple[tuple[str, str], Estimate]]:
    if not scales:
        return
    pairs = itertools.combinations(labels, 2)
    for first, second in itertools.islice(pairs, ALL_PAIRS * (ALL_PAIRS - 1) // 2):
        x, y = (_samples(label, places, scales) for label in (first, second))
        yield (first, second), estimate(probability_of_improvement, *x, *y)
