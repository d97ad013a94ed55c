"""A comparison as data: one nested object for JSON, and one row per figure for CSV."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from rlcli.analysis.compare.comparison import Comparison
from rlcli.analysis.compare.markup import Cell as Entry
from rlcli.analysis.compare.place import Cell, Pair, Place
from rlcli.analysis.compare.references import KINDS, Matched
from rlcli.analysis.compare.scores import NAMES
from rlcli.analysis.compare.verdicts import verdicts
from rlcli.analysis.statistics import Estimate

COLUMNS = ("env", "group", "against", "score", "statistic", "value", "low", "high", "runs")
"""Columns of the CSV; `against` is the second group of a pair."""
OVER_ALL = "all"
"""The environment of rows over all environments."""


def as_object(comparison: Comparison, published: Mapping[str, Matched]) -> dict[str, Any]:
    """All of a comparison; times that are infinite mean that a threshold was not reached."""
    overall = comparison.over_all
    return {
        "metric": comparison.metric,
        "better": "lower" if comparison.lower_is_better else "higher",
        "groups": list(comparison.labels),
        "environments": [_place(place, published.get(place.env)) for place in comparison.places],
        "normalised_by": overall.scaled_by if overall.scales else None,
        "scales": {env: {"low": low, "high": high} for env, (low, high) in overall.scales.items()},
        "overall": [
            {
                "group": one.label,
                **_estimates(one.estimates),
                "profile": {
                    name: None if values is None else values.tolist()
                    for name, values in dataclasses.asdict(one.profile).items()
                },
            }
            for one in overall.groups
        ],
        "improvements": [
            {"first": first, "second": second, **dataclasses.asdict(found)}
            for (first, second), found in overall.improvements.items()
        ],
        "verdicts": verdicts(comparison),
        "notes": list(comparison.notes),
    }


def _estimates(found: Mapping[str, Estimate]) -> dict[str, Any]:
    return {name: dataclasses.asdict(one) for name, one in found.items()}


def _place(place: Place, published: Matched | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "env": place.env,
        "budget": place.budget,
        "threshold": place.threshold,
        "groups": [_cell(cell) for cell in place.cells],
        "pairs": [_pair(pair) for pair in place.pairs],
    }
    if published is not None:
        figures = [
            dataclasses.asdict(one) | {"kind": KINDS[one.kind].text, "metric": KINDS[one.kind].metric}
            for one in published.figures
        ]
        row["published"] = {"figures": figures, "reason": published.reason}
    return row


def _cell(cell: Cell) -> dict[str, Any]:
    runs = [
        {"id": run.id, "name": run.name, "dir": str(run.dir), "seed": seed, **dataclasses.asdict(scores)}
        for run, seed, scores in zip(cell.runs, cell.seeds, cell.scores, strict=True)
    ]
    return {
        "group": cell.label,
        "seeds": cell.seeds,
        "scores": {score: _estimates(found) for score, found in cell.estimates.items()},
        "reached": cell.reached(),
        "median_steps": cell.time_to("steps"),
        "median_seconds": cell.time_to("seconds"),
        "health": {name: dataclasses.asdict(found) for name, found in cell.health.items()},
        "runs": runs,
    }


def _pair(pair: Pair) -> dict[str, Any]:
    found = dataclasses.asdict(pair.found)
    return {"first": pair.first, "second": pair.second, "separate": pair.found.separate, **found}


def as_rows(comparison: Comparison) -> Iterator[tuple[Entry, ...]]:
    """One row per figure, as `COLUMNS`."""
    for place in comparison.places:
        for cell in place.cells:
            yield from _cell_rows(place, cell)
        for pair in place.pairs:
            yield from _pair_rows(place, pair)
    for one in comparison.over_all.groups:
        for name, found in one.estimates.items():
            yield OVER_ALL, one.label, None, "final", name, found.value, found.low, found.high, None
    for (first, second), found in comparison.over_all.improvements.items():
        yield OVER_ALL, first, second, "final", "improvement", found.value, found.low, found.high, None


def _cell_rows(place: Place, cell: Cell) -> Iterator[tuple[Entry, ...]]:
    count = len(cell.runs)
    for score, by_statistic in cell.estimates.items():
        for name, found in by_statistic.items():
            yield place.env, cell.label, None, score, name, found.value, found.low, found.high, count
    if place.threshold is not None:
        yield place.env, cell.label, None, NAMES[3], "reached", cell.reached(), None, None, count
        for score in NAMES[3:]:
            yield place.env, cell.label, None, score, "median", cell.time_to(score), None, None, count
    for metric, health in cell.health.items():
        yield place.env, cell.label, None, metric, "mean", health.mean, health.low, health.high, count


def _pair_rows(place: Place, pair: Pair) -> Iterator[tuple[Entry, ...]]:
    for name, found in (("improvement", pair.found.improvement), ("difference", pair.found.difference)):
        yield place.env, pair.first, pair.second, "final", name, found.value, found.low, found.high, None
    same = pair.found.same_seeds
    if same is not None:
        found = same.difference
        label = "same_seed_difference"
        yield (
            place.env,
            pair.first,
            pair.second,
            "final",
            label,
            found.value,
            found.low,
            found.high,
            same.count,
        )
