"""Tables of a comparison: final values, the way there, health, pairs, published figures, and all together."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from rlcli.analysis.compare.comparison import Comparison
from rlcli.analysis.compare.markup import Table
from rlcli.analysis.compare.place import Cell, Pair, Place
from rlcli.analysis.compare.references import KINDS, Figure
from rlcli.analysis.statistics import Estimate
from rlcli.loggers.progress import figure, share

SHOWN_TAUS = (0.1, 0.25, 0.5, 0.75, 0.9)
Names = Mapping[str, str]
"""What a table shows for the label of a group."""
Published = Mapping[str, Sequence[Figure]]
"""By environment: figures of others that are comparable."""


def tables(comparison: Comparison, names: Names, published: Published) -> Iterator[Table]:
    """All tables, one environment after the other, then those over all environments."""
    for place in comparison.places:
        yield _final(place, comparison.metric, names)
        yield _way(place, names)
        if any(cell.health for cell in place.cells):
            yield _health(place, names)
        if place.pairs:
            yield _pairs(place, names)
        if any(pair.found.same_seeds for pair in place.pairs):
            yield _same_seeds(place, names)
        if published.get(place.env):
            yield _beside(place, names, published[place.env])
    if comparison.over_all.groups:
        yield _overall(comparison, names)
        yield _profiles(comparison, names)
    if comparison.over_all.improvements:
        yield _improvements(comparison, names)


def _table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]], text: int = 1) -> Table:
    """A table whose columns are numbers, but for the first ones."""
    return Table(title, headings, rows, headings[text:])


def _final(place: Place, metric: str, names: Names) -> Table:
    rows = [
        (
            names[cell.label],
            str(len(cell.runs)),
            _with_interval(cell.estimates["final"]["iqm"]),
            figure(cell.estimates["final"]["mean"].value),
            figure(cell.estimates["final"]["median"].value),
        )
        for cell in place.cells
    ]
    title = f"{place.env}: last {metric} after {place.budget:,.0f} env steps, over seeds"
    return _table(title, ("group", "seeds", "IQM [95%]", "mean", "median"), rows)


def _way(place: Place, names: Names) -> Table:
    timed = place.threshold is not None
    headings = ["group", "best", "area"]
    if place.threshold is not None:
        headings += [f"reach {place.threshold:g}", "steps", "seconds"]
    rows = [
        [
            names[cell.label],
            *(_iqm_of(cell, score) for score in ("best", "area")),
            *(_times(cell) if timed else ()),
        ]
        for cell in place.cells
    ]
    return _table(f"{place.env}: during training (IQM over seeds; times are medians)", headings, rows)


def _times(cell: Cell) -> tuple[str, str, str]:
    steps, seconds = cell.time_to("steps"), cell.time_to("seconds")
    return (
        "-" if cell.reached() is None else f"{cell.reached()}/{len(cell.runs)}",
        _unless_never(steps) or f"{steps:,.0f}",
        _unless_never(seconds) or figure(seconds),
    )


def _unless_never(value: float) -> str:
    """A dash where there is no time, `never` where it is infinite, else empty."""
    return "-" if math.isnan(value) else "never" if math.isinf(value) else ""


def _iqm_of(cell: Cell, score: str) -> str:
    return figure(cell.estimates[score]["iqm"].value) if score in cell.estimates else "-"


def _health(place: Place, names: Names) -> Table:
    columns = (
        ("KL(mu||pi)", "behaviour/kl_mu_pi", "mean", figure),
        ("KL(pi||mu)", "behaviour/kl_pi_mu", "mean", figure),
        ("ESS", "behaviour/ess", "mean", share),
        ("min ESS", "behaviour/ess", "low", share),
        ("k-hat", "behaviour/khat", "mean", figure),
        ("clip", "behaviour/clip_fraction", "mean", share),
        ("budget", "update/budget_used", "mean", share),
    )
    rows = [
        [
            names[cell.label],
            *(
                form(getattr(cell.health[name], which)) if name in cell.health else "-"
                for _, name, which, form in columns
            ),
        ]
        for cell in place.cells
    ]
    title = f"{place.env}: health, mean over updates and seeds"
    return _table(title, ("group", *(heading for heading, *_ in columns)), rows)


def _pair(pair: Pair, names: Names) -> str:
    return f"{names[pair.first]} - {names[pair.second]}"


def _pairs(place: Place, names: Names) -> Table:
    rows = [
        (
            _pair(pair, names),
            _with_interval(pair.found.improvement, share),
            _with_interval(pair.found.difference),
            _p(pair.found.p),
        )
        for pair in place.pairs
    ]
    title = f"{place.env}: is the first better than the second? (last value)"
    return _table(title, ("pair", "P(better) [95%]", "mean difference [95%]", "p"), rows)


def _same_seeds(place: Place, names: Names) -> Table:
    rows = [
        (
            _pair(pair, names),
            str(found.count),
            _with_interval(found.difference),
            f"{found.wins:g}",
            _p(found.p),
        )
        for pair in place.pairs
        if (found := pair.found.same_seeds)
    ]
    title = f"{place.env}: runs of equal seeds, first minus second (last value)"
    return _table(title, ("pair", "pairs", "mean difference [95%]", "wins", "p"), rows)


def _beside(place: Place, names: Names, published: Sequence[Figure]) -> Table:
    score = KINDS[published[0].kind].score
    ours = [
        (
            f"{names[cell.label]} (here)",
            str(len(cell.runs)),
            figure(float(np.mean(values))),
            f"{figure(float(np.std(values, ddof=1)))} (std of seeds)" if len(values) > 1 else "-",
        )
        for cell in place.cells
        if np.isfinite(values := cell.values(score)).all()
    ]
    theirs = [
        (
            one.algorithm,
            str(one.seeds),
            figure(one.mean),
            "-" if one.spread is None else f"{figure(one.spread)} ({one.spread_of})",
        )
        for one in published
    ]
    text = KINDS[published[0].kind].text
    title = f"{place.env}: published beside ours: {text}, after {place.budget:,.0f} env steps"
    return _table(title, ("algorithm", "seeds", "mean", "spread"), [*ours, *theirs])


def _overall(comparison: Comparison, names: Names) -> Table:
    rows = [
        (
            names[one.label],
            *(_with_interval(one.estimates[name], share) for name in ("iqm", "optimality_gap")),
            *(share(one.estimates[name].value) for name in ("mean", "median")),
        )
        for one in comparison.over_all.groups
    ]
    found = comparison.over_all
    title = f"over {len(found.scales)} environments: last values, normalised by {found.scaled_by}"
    return _table(title, ("group", "IQM [95%]", "opt. gap [95%]", "mean", "median"), rows)


def _profiles(comparison: Comparison, names: Names) -> Table:
    rows = [
        (
            names[one.label],
            *(share(float(np.interp(tau, one.profile.taus, one.profile.fraction))) for tau in SHOWN_TAUS),
        )
        for one in comparison.over_all.groups
    ]
    title = "performance profile: share of runs whose normalised last value is above"
    return _table(title, ("group", *(f"{tau:g}" for tau in SHOWN_TAUS)), rows)


def _improvements(comparison: Comparison, names: Names) -> Table:
    rows = [
        (f"{names[first]} - {names[second]}", _with_interval(found, share))
        for (first, second), found in comparison.over_all.improvements.items()
    ]
    title = f"over {len(comparison.over_all.scales)} environments: is the first better than the second?"
    return _table(title, ("pair", "P(better) [95%]"), rows)


def _with_interval(found: Estimate, form: Callable[[float], str] = figure) -> str:
    if found.low is None or found.high is None:
        return form(found.value)
    return f"{form(found.value)} [{form(found.low)}, {form(found.high)}]"


def _p(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}" if value >= 0.001 else "<0.001"
