"""Groups of runs in one environment: their scores, health, and each two against each other."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rlcli.analysis.compare import scores as of_runs
from rlcli.analysis.compare.comparable import HEALTH, Entrant
from rlcli.analysis.compare.pairs import Against, against
from rlcli.analysis.compare.scores import Scores
from rlcli.analysis.groups import Group
from rlcli.analysis.history import Array
from rlcli.analysis.selection import Run
from rlcli.analysis.statistics import STATISTICS, Estimate, estimate

ALL_PAIRS = 6
"""Groups of which every two are compared; of more, each with the best."""


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


def place(
    env: str,
    within: Sequence[Entrant],
    groups: Sequence[Group],
    metric: str,
    threshold: float | None,
    lower: bool,
) -> Place:
    """Compares groups by those of their runs that are of this environment."""
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
