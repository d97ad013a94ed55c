"""What the charts of a report draw: curves of groups, lines of runs, and alerts, thinned with their extremes.

A chart is one metric in one environment. Its data is a JSON block of its own, which the page parses when the
chart comes into view.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from rlcli.analysis.curves import Curve, curve, thinned
from rlcli.analysis.history import Array, Axis, History, read_history
from rlcli.analysis.report.alerts import Alert, named
from rlcli.analysis.report.provenance import text
from rlcli.analysis.selection import Run
from rlcli.config.alerts import rules

Scale = Literal["share", "log", "linear", "symlog"] | None
Numbers = list[float | int | None]

LEARNING = ("eval/return_mean", "train/return_100")
HEALTH = (
    "behaviour/ess", "behaviour/khat", "behaviour/clip_fraction", "behaviour/kl_mu_pi", "behaviour/kl_pi_mu",
    "update/budget_used", "update/entropy", "update/explained_variance",
)  # fmt: skip
METRICS = (*LEARNING, *HEALTH)
"""The metrics that are drawn, one chart each."""
TITLES: Mapping[str, tuple[str, Scale]] = {
    "eval/return_mean": ("Evaluation return", None),
    "train/return_100": ("Training return", None),
    "behaviour/ess": ("ESS", "share"),
    "behaviour/khat": ("Pareto k-hat", "linear"),
    "behaviour/clip_fraction": ("Clip fraction", "share"),
    "behaviour/kl_mu_pi": ("KL(μ‖π)", "log"),
    "behaviour/kl_pi_mu": ("KL(π‖μ)", "log"),
    "update/budget_used": ("KL budget used", "log"),
    "update/entropy": ("Entropy", "linear"),
    "update/explained_variance": ("Explained variance", "symlog"),
}
"""Headings, and the scale of the axis; None: each environment has its own."""
FLOOR = 1e-8
"""Foot of a logarithmic axis; smaller values are drawn at it."""
AXES: tuple[Axis, ...] = ("steps", "seconds")
POINTS = 100
"""Positions of a group's curve."""
RESAMPLES = 400
"""Resamples of a band: enough to draw it; tables use `statistics.RESAMPLES`."""
BUDGET = 600_000
"""Numbers in the lines of all runs together, which bounds the size of a page with very many runs."""
BUCKETS = (8, 60)
"""Fewest and most stretches of a run's line, of up to four points each."""
ALERT_BUCKETS = 2
"""Stretches of the marks of one alert."""


def read_columns(run: Run) -> History:
    """The columns of a run that a report needs.

    Raises:
        StorageError: metrics.jsonl cannot be read.
    """
    return read_history(run.dir, {*METRICS, *(rule.metric for rule in rules(run.settings))})


def buckets_for(lengths: Sequence[int]) -> list[int]:
    """Stretches of each run's line, in proportion to its rows and fewer where there are very many rows."""
    numbers_per_bucket = 4 * (1 + len(AXES)) * len(METRICS)
    available = BUDGET / numbers_per_bucket / max(sum(lengths), 1)
    return [int(np.clip(available * length, *BUCKETS)) for length in lengths]


def chart(
    metric: str,
    groups: Sequence[tuple[int, Sequence[int]]],
    histories: Sequence[History],
    alerts: Sequence[Sequence[Alert]],
    buckets: Sequence[int],
) -> dict[str, Any] | None:
    """The data of one chart; None where no run has the metric.

    `groups` are the groups of one environment, each with its number and the numbers of its runs; `histories`,
    `alerts` and `buckets` are those of all runs, by number.
    """
    lines = {
        run: line
        for _, members in groups
        for run in members
        if (line := _line(histories[run], metric, buckets[run])) is not None
    }
    if not lines:
        return None
    curves = {
        number: found
        for number, members in groups
        if len(members) > 1 and (found := _curves([histories[run] for run in members], metric))
    }
    marks = {run: _mark(alert) for run in lines for alert in alerts[run] if alert.rule.metric == metric}
    return {"curves": curves, "runs": lines, "alerts": marks}


def _line(history: History, metric: str, buckets: int) -> dict[str, Numbers] | None:
    """A run's line on all axes at the same updates; None where it has no value."""
    values = history.columns.get(metric)
    if values is None:
        return None
    places = np.flatnonzero(np.isfinite(values))
    if not len(places):
        return None
    chosen, y = thinned(places.astype(np.float64), values[places], buckets)
    kept = chosen.astype(np.intp)
    found: dict[str, Numbers] = {axis: numbers(history.axis(axis)[kept]) for axis in AXES}
    return found | {"y": numbers(y)}


def _curves(histories: Sequence[History], metric: str) -> dict[str, dict[str, Any]]:
    """The curve of a group on each axis that has positions."""
    found = {axis: curve(histories, metric, axis, POINTS, RESAMPLES) for axis in AXES}
    return {
        axis: {
            "x": numbers(one.x), "centre": numbers(one.centre), "low": numbers(one.low),
            "high": numbers(one.high), "count": [int(value) for value in one.count],
            **_range(histories, metric, axis, one),
        }
        for axis, one in found.items()
        if one is not None
    }  # fmt: skip


def _range(histories: Sequence[History], metric: str, axis: Axis, curve: Curve) -> dict[str, Numbers]:
    """Lowest and highest value of any run around each position, so that no peak between two is hidden."""
    edges = (curve.x[1:] + curve.x[:-1]) / 2
    lowest, highest = curve.low.copy(), curve.high.copy()
    for history in histories:
        x, y = history.points(metric, axis)
        nearest = np.searchsorted(edges, x)
        np.minimum.at(lowest, nearest, y)
        np.maximum.at(highest, nearest, y)
    return {"lowest": numbers(lowest), "highest": numbers(highest)}


def _mark(alert: Alert) -> dict[str, Any]:
    """Where to mark an alert: the first and last update, and the extremes of the stretches between."""
    chosen, y = thinned(np.arange(len(alert.values), dtype=np.float64), alert.values, ALERT_BUCKETS)
    kept = chosen.astype(np.intp)
    return {"rule": text(named(alert.rule)), "count": len(alert.values), "steps": numbers(alert.steps[kept]),
            "seconds": numbers(alert.seconds[kept]), "y": numbers(y)}  # fmt: skip


def shared_domain(metric: str, scale: Scale, histories: Sequence[History]) -> Numbers | None:
    """Ends of the axis of a metric, equal in all charts of a report; None where each has its own."""
    if scale is None:
        return None
    if scale == "share":
        return [0, 1]
    columns = [history.columns[metric] for history in histories if metric in history.columns]
    values = np.concatenate([np.empty(0), *columns])
    values = values[np.isfinite(values)]
    if scale == "log":
        values = np.maximum(values[values > 0], FLOOR)
        low, high = (values.min(), values.max()) if len(values) else (1e-4, 1.0)
        return [number(10.0 ** np.floor(np.log10(low))), number(10.0 ** np.ceil(np.log10(high * 1.01)))]
    low, high = (values.min(), values.max()) if len(values) else (0.0, 1.0)
    if scale == "symlog":
        return [number(min(low * 1.3, -0.5)), 1]
    margin = 0.05 * (high - low) or 1.0
    return [number(low - margin), number(high + margin)]


def numbers(values: Array) -> Numbers:
    """Numbers as short as four significant digits allow; whole ones below 10^12 in full, NaN as None."""
    return [number(value) for value in values.tolist()]


def number(value: float) -> float | int | None:
    """One number, as `numbers` has it."""
    if not np.isfinite(value):
        return None
    if value == int(value) and abs(value) < 1e12:
        return int(value)
    return float(f"{value:.4g}")


def figures(history: History) -> dict[str, float | None]:
    """A run's figures for tables: last and best return, and the median of each health metric over updates."""
    found: dict[str, float | None] = {name: history.last(name) for name in LEARNING}
    _, evaluations = history.points("eval/return_mean", "updates")
    found["best"] = float(evaluations.max()) if len(evaluations) else None
    for name in HEALTH:
        _, values = history.points(name, "updates")
        found[name] = float(np.median(values)) if len(values) else None
    _, ess = history.points("behaviour/ess", "updates")
    found["lowest ESS"] = float(ess.min()) if len(ess) else None
    return {name: None if value is None else number(value) for name, value in found.items()}
