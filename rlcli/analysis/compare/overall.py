"""Groups of runs over several environments, by normalised final values."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rlcli.analysis.compare.pairs import probability_of_improvement
from rlcli.analysis.compare.place import ALL_PAIRS, Place
from rlcli.analysis.compare.profiles import Profile, Scale, Scaling, normalised, profile
from rlcli.analysis.history import Array
from rlcli.analysis.statistics import NORMALISED, Estimate, estimate


@dataclass(frozen=True)
class Overall:
    """A group over several environments, by normalised final values."""

    label: str
    estimates: Mapping[str, Estimate]
    profile: Profile


@dataclass(frozen=True)
class OverAll:
    """What a comparison has over several environments; empty where fewer than two can be normalised."""

    scales: Mapping[str, Scale]
    """The final values that are 0 and 1, of the environments that count."""
    scaled_by: str
    """What they come from."""
    groups: tuple[Overall, ...]
    """Those with runs in all environments."""
    improvements: Mapping[tuple[str, str], Estimate]
    """Probability of improvement over these environments, of two groups."""
    notes: tuple[str, ...]
    """What was left out."""


def over_all(
    labels: Sequence[str], places: Sequence[Place], scaling: Scaling, metric: str, lower_is_better: bool
) -> OverAll:
    """Compares the groups that have runs in all environments, in those that can be normalised."""
    complete = [label for label in labels if all(_finals(label, [place]) for place in places)]
    notes = [
        f"{label} has no runs in some environments: it is left out over all of them."
        for label in labels
        if label not in complete
    ]
    finals = {place.env: [cell.values("final") for cell in place.cells] for place in places}
    made = scaling.scales(finals, metric, lower_is_better) if complete and len(places) > 1 else {}
    notes += [
        f"{env} is left out over all environments: it cannot be normalised by {scaling.text}."
        for env, scale in made.items()
        if scale is None
    ]
    scales = {env: scale for env, scale in made.items() if scale is not None}
    if len(scales) < 2:
        return OverAll({}, scaling.text, (), {}, tuple(notes))
    samples = {label: _samples(label, places, scales) for label in complete}
    pairs = itertools.islice(itertools.combinations(complete, 2), ALL_PAIRS * (ALL_PAIRS - 1) // 2)
    return OverAll(
        scales=scales,
        scaled_by=scaling.text,
        groups=tuple(_overall(label, of_label) for label, of_label in samples.items()),
        improvements={
            (first, second): estimate(probability_of_improvement, *samples[first], *samples[second])
            for first, second in pairs
        },
        notes=tuple(notes),
    )


def _finals(label: str, places: Sequence[Place]) -> list[Array]:
    """Final values of a group in each environment where it has runs."""
    return [cell.values("final") for place in places for cell in place.cells if cell.label == label]


def _samples(label: str, places: Sequence[Place], scales: Mapping[str, Scale]) -> list[Array]:
    """Normalised final values of a group, one sample per environment."""
    used = [place for place in places if place.env in scales]
    return [
        normalised(values, scales[place.env])
        for place, values in zip(used, _finals(label, used), strict=True)
    ]


def _overall(label: str, samples: Sequence[Array]) -> Overall:
    estimates = {name: estimate(function, *samples) for name, function in NORMALISED.items()}
    return Overall(label, estimates, profile(samples))
