"""Plot of metrics over training: one panel per metric and environment, one line per group of runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from rlcli.analysis.alerts import levels
from rlcli.analysis.curves import curve, thinned
from rlcli.analysis.groups import CHOICES, Group, by_environment, group
from rlcli.analysis.history import Axis
from rlcli.analysis.plots.metrics import better
from rlcli.analysis.plots.plot import OTHERS, Level, Mark, Panel, Plot
from rlcli.analysis.selection import Run
from rlcli.catalog.table import METRICS
from rlcli.config.values import display

STYLES = 8
"""Groups that colours and line styles tell apart."""
SINGLES, SINGLES_IN_ALL = 10, 20
"""Maximum runs of a group, and of a panel, that are drawn one by one too."""
FEW = 4
"""Maximum groups of a panel whose runs are drawn one by one."""
BUCKETS = 150
"""Resolution of lone runs, in stretches of which the extremes are kept."""
X_LABELS = {"steps": "env steps", "seconds": "seconds of training", "updates": "updates"}
MOST_COLUMNS = 3
UNSHOWN = ("1", "fraction", "code", "ratio")
"""Units that are none."""
BUDGET = ("update/budget_used", 1.0, "budget")


def curves(runs: Sequence[Run], metrics: Sequence[str], axis: Axis, by: Sequence[str] | None) -> Plot:
    """Curves of metrics over env steps, seconds or updates.

    Groups have the same style in all panels. Where there are more than styles, those with the best last
    values of the first metric have one.

    Raises:
        UserError: no run has a key of `by`.
    """
    worlds = [(env, plain(group(members, by))) for env, members in by_environment(runs)]
    labels = list(dict.fromkeys(one.label for _, groups in worlds for one in groups))
    styled = labels if len(labels) <= STYLES else _best(worlds, labels, metrics[0], axis)
    places = {label: place for place, label in enumerate(label for label in labels if label in styled)}
    panels = [
        panel
        for metric in metrics
        for env, groups in worlds
        if (
            panel := _panel(
                metric,
                env,
                groups,
                axis,
                places,
                several_metrics=len(metrics) > 1,
                several_envs=len(worlds) > 1,
            )
        )
    ]
    notes = []
    if len(labels) > STYLES:
        notes.append(
            f"{len(labels)} groups: the {STYLES} with the best last {metrics[0]} have colours. "
            "Fewer groups: --by KEYS; settings against results: --slices"
        )
    wide = len(worlds) if len(worlds) > 1 else min(2, len(panels))
    columns = wide if wide <= MOST_COLUMNS else 2
    shown = [one for _, groups in worlds for one in groups if one.label in places]
    return Plot(tuple(panels), _caption(shown), columns, tuple(notes))


def plain(groups: list[Group]) -> list[Group]:
    """Groups that differ in their algorithms alone are labelled by its name: `ppo`, not `algo=ppo`."""
    if any(list(one.values) != [CHOICES["algo"]] for one in groups):
        return groups
    return [dataclasses.replace(one, label=display(*one.values.values())) for one in groups]


def _panel(
    metric: str,
    env: str,
    groups: Sequence[Group],
    axis: Axis,
    places: dict[str, int],
    *,
    several_metrics: bool,
    several_envs: bool,
) -> Panel | None:
    drawn = [one for one in groups if one.label in places]
    amount = sum(len(one.runs) for one in drawn)
    bare = several_metrics or len(drawn) > FEW
    marks = [mark for one in groups if (mark := _mark(one, metric, axis, places, amount, bare))]
    if not marks:
        return None
    # Those without a style are beneath the others.
    marks.sort(key=lambda mark: (mark.place != OTHERS, mark.place))
    known = METRICS.get(metric)
    unit = f" ({known.unit})" if known and known.unit not in UNSHOWN else ""
    name = f"{metric}{unit}"
    title = f"{name}, {env}" if several_metrics and several_envs else name if several_metrics else env
    levels = tuple(_levels(metric, [run for one in groups for run in one.runs]))
    y_label = "" if several_metrics else name
    return Panel(title, X_LABELS[axis], y_label, tuple(marks), levels, metric=metric, where=env)


def _mark(
    one: Group, metric: str, axis: Axis, places: dict[str, int], amount: int, bare: bool
) -> Mark | None:
    histories = [run.history for run in one.runs]
    found = curve(histories, metric, axis)
    if found is None:
        return None
    place = places.get(one.label, OTHERS)
    lines = [line for history in histories if len((line := history.points(metric, axis))[0])]
    mark = Mark(one.label, place, len(lines), (found.x, found.centre))
    if len(lines) == 1:
        return dataclasses.replace(mark, line=thinned(*lines[0], BUCKETS))
    if place == OTHERS:
        return mark
    few = len(lines) <= SINGLES and amount <= SINGLES_IN_ALL and not bare
    singles = tuple(thinned(x, y, BUCKETS) for x, y in lines) if few else ()
    return dataclasses.replace(mark, band=(found.low, found.high), singles=singles)


def _best(
    worlds: Sequence[tuple[str, Sequence[Group]]], labels: Sequence[str], metric: str, axis: Axis
) -> list[str]:
    """The groups with the best last values, of the first environment that has them; else the first ones."""
    direction = better(metric)
    if not direction:
        return list(labels[:STYLES])
    last: dict[str, float] = {}
    for _, groups in worlds:
        for one in groups:
            found = curve([run.history for run in one.runs], metric, axis)
            if found is not None and one.label not in last:
                last[one.label] = direction * float(found.centre[-1])
    return sorted(last, key=lambda label: -last[label])[:STYLES]


def _levels(metric: str, runs: Sequence[Run]) -> Iterator[Level]:
    """Levels of a metric: the threshold at which its runs stop, and that of an alert."""
    wanted = {
        run.settings.get("stop_at.threshold") for run in runs if run.settings.get("stop_at.metric") == metric
    }
    yield from (
        Level(float(value), "stop_at") for value in sorted(wanted, key=str) if isinstance(value, (int, float))
    )
    if metric == BUDGET[0]:
        yield Level(*BUDGET[1:], needed=False)
    for limit, label in levels(metric, (run.settings for run in runs)):
        yield Level(limit, label, needed=False)


def _caption(groups: Sequence[Group]) -> str:
    counts = sorted({len(one.runs) for one in groups})
    if not counts or counts == [1]:
        return ""
    several = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"Interquartile mean over {several} runs, 95% bootstrap interval"
