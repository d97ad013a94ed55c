"""Plot of a sweep: the last value of a metric against each setting that varies, and their importance."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from rlcli.analysis.groups import CHOICES, SEED, Group, by_environment, group, short
from rlcli.analysis.history import Array
from rlcli.analysis.importance import importance
from rlcli.analysis.plots.axes import is_logarithmic
from rlcli.analysis.plots.curves import STYLES, plain
from rlcli.analysis.plots.metrics import EVALUATED, TRAINED, better
from rlcli.analysis.plots.plot import OTHERS, Bars, Mark, Panel, Plot
from rlcli.analysis.selection import Run
from rlcli.analysis.statistics import iqm
from rlcli.config.schema.keys import KEYS
from rlcli.config.values import display
from rlcli.errors import UserError

UNFINISHED = ("pruned", "failed", "interrupted", "killed", "running")


def slices(runs: Sequence[Run], metrics: Sequence[str], by: Sequence[str] | None) -> Plot:
    """Slices of the first metric for each environment, and bars of importance.

    Runs that have not finished are left out, unless none has. Groups are those of `by`, else of settings that
    are no numbers.

    Raises:
        UserError: no number varies between the runs, or none has the metric.
    """
    metric = metrics[0]
    finished = [run for run in runs if run.summary["status"] not in UNFINISHED]
    chosen = [run for run in finished or runs if run.history.last(metric) is not None]
    if not chosen:
        raise UserError(f"No finished run has {metric}.")
    worlds = list(by_environment(chosen))
    panels = [
        panel
        for env, members in worlds
        for panel in _of_environment(env, members, metric, by, len(worlds) > 1)
    ]
    if not panels:
        raise UserError(
            "--slices: no numeric setting but the seed varies between these runs.",
            hint="Curves of them: rlcli plot without --slices",
        )
    notes = []
    if len(chosen) < len(runs):
        notes.append(f"{len(runs) - len(chosen)} of {len(runs)} runs are left out: they have not finished.")
    means = any(len(mark.line[0]) for panel in panels if isinstance(panel, Panel) for mark in panel.marks)
    caption = "One dot per run at its end" + (
        "; lines: interquartile mean of equal settings" if means else ""
    )
    return Plot(tuple(panels), caption, min(2, len(panels)), tuple(notes))


def _of_environment(
    env: str, runs: Sequence[Run], metric: str, by: Sequence[str] | None, several: bool
) -> Iterator[Panel | Bars]:
    keys = varied(runs)
    numbers = [key for key in keys if all(_is_number(run.settings.get(key)) for run in runs)]
    groups = plain(group(runs, [key for key in keys if key not in numbers] if by is None else by))
    beside = f", {env}" if several else ""
    for key in numbers:
        yield _panel(key, metric, groups, beside)
    if len(keys) > 1:
        values = np.array([run.history.last(metric) for run in runs], np.float64)
        settings = {short(key): [run.settings.get(key) for run in runs] for key in keys}
        shares, measure = importance(settings, values, better(metric) >= 0)
        yield Bars(f"importance{beside}", tuple(shares.items()), measure)


def value_metric(runs: Sequence[Run]) -> str:
    """The metric of slices where none is named: the last evaluation, else the training return."""
    evaluated = all(run.history.last(EVALUATED) is not None for run in runs)
    return EVALUATED if evaluated else TRAINED


def varied(runs: Sequence[Run]) -> list[str]:
    """Settings other than the seed in which runs differ; where commands set some of them, those alone."""
    keys = dict.fromkeys(key for run in runs for key in run.settings)
    differing = [
        key
        for key in keys
        if key != SEED
        and (key in CHOICES.values() or key not in KEYS or KEYS[key].declaration.effect != "nothing")
        and len({display(run.settings.get(key)) for run in runs}) > 1
    ]
    typed = {
        CHOICES.get(name, name)
        for run in runs
        for text in run.summary.get("overrides") or ()
        for name in [str(text).partition("=")[0].lstrip("+~")]
    }
    return [key for key in differing if key in typed] or differing


def _panel(key: str, metric: str, groups: Sequence[Group], beside: str) -> Panel:
    every = np.array([run.settings[key] for one in groups for run in one.runs], np.float64)
    marks = []
    for place, one in enumerate(groups):
        x = np.array([run.settings[key] for run in one.runs], np.float64)
        y = np.array([run.history.last(metric) for run in one.runs], np.float64)
        order = np.argsort(x, kind="stable")
        marks.append(
            Mark(
                one.label if len(groups) > 1 else "", place if place < STYLES else OTHERS, len(one.runs),
                line=_means(x, y), dots=(x[order], y[order]),
            )
        )  # fmt: skip
    return Panel(
        f"{short(key)}{beside}", short(key), metric, tuple(marks), log_x=is_logarithmic(every), metric=metric,
        where=key,
    )  # fmt: skip


def _means(x: Array, y: Array) -> tuple[Array, Array]:
    """Interquartile means at each value; of a search, where values do not repeat, nothing."""
    places = np.unique(x)
    if 2 * len(places) > len(x):
        return np.empty(0), np.empty(0)
    return places, np.array([float(iqm(y[x == place])) for place in places])


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
