"""Content of a report: what its page shows, as plain data with all text of run directories made harmless."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rlcli.analysis import groups as grouping
from rlcli.analysis.groups import CHOICES, Group, by_environment, group
from rlcli.analysis.history import History
from rlcli.analysis.report.alerts import Alert, alerts, described, named
from rlcli.analysis.report.provenance import commands, compared, facts, manifest, text
from rlcli.analysis.report.series import (
    AXES,
    HEALTH,
    LEARNING,
    METRICS,
    TITLES,
    buckets_for,
    chart,
    figures,
    number,
    read_columns,
    shared_domain,
)
from rlcli.analysis.report.slices import slices
from rlcli.analysis.report.videos import Video, videos
from rlcli.analysis.selection import Run, Selection
from rlcli.analysis.statistics import bands, iqm
from rlcli.catalog.table import METRICS as CATALOG
from rlcli.config.alerts import rules
from rlcli.config.schema.keys import KEYS
from rlcli.config.values import display
from rlcli.errors import StorageError, UserError


@dataclass(frozen=True)
class Report:
    """What a page is made of."""

    content: dict[str, Any]
    """What is shown at once: tables, and which charts there are."""
    blocks: dict[str, dict[str, Any]]
    """Data of the charts, by the name that `content` gives each."""
    videos: list[Video]
    faults: list[str]
    """One sentence for each run or part of one that is left out."""


def report(selection: Selection, command: str | None, largest_videos: int) -> Report:
    """The report of a selection.

    Args:
        selection: its runs.
        command: the command that makes the report; None where it cannot be copied safely.
        largest_videos: bytes of videos that are embedded at most.

    Raises:
        UserError: the rows of no run can be read.
    """
    runs, histories, faults = _read(selection)
    ruled = [rules(run.settings) for run in runs]
    found = [
        alerts(history, applied, int(run.summary["action_dimensions"]))
        for run, history, applied in zip(runs, histories, ruled, strict=True)
    ]
    results = [figures(history) for history in histories]
    manifests = [manifest(run) for run in runs]
    embedded, left_out = videos(runs, largest_videos)
    faults = [text(fault) for fault in faults] + left_out
    keys, place = _keys(runs), {run.dir: index for index, run in enumerate(runs)}
    buckets = buckets_for([len(history) for history in histories])
    blocks: dict[str, dict[str, Any]] = {}
    environments: list[dict[str, Any]] = []
    groups: list[dict[str, Any]] = []
    for env, members in by_environment(runs):
        within = [(one, [place[run.dir] for run in one.runs]) for one in group(members, keys)]
        numbered = list(enumerate([indices for _, indices in within], len(groups)))
        charts = {}
        for metric in METRICS:
            data = chart(metric, numbered, histories, found, buckets)
            if data is not None:
                charts[metric] = f"chart-{len(blocks)}"
                blocks[charts[metric]] = data
        groups += [_group(one, indices, results, found) for one, indices in within]
        indices = [index for _, indices in within for index in indices]
        environments.append(
            {
                "id": text(env),
                "groups": [number for number, _ in numbered],
                "extent": _extent([histories[index] for index in indices]),
                "charts": charts,
                "sweep": slices(indices, runs, results, keys),
            }
        )
    drawn = {metric for env in environments for metric in env["charts"]}
    group_of = {index: number for number, one in enumerate(groups) for index in one["runs"]}
    content = {
        "command": command,
        "faults": faults,
        "metrics": {name: _metric(name, histories) for name in METRICS},
        "learning": [name for name in LEARNING if name in drawn],
        "health": [name for name in HEALTH if name in drawn],
        "rules": described(ruled),
        "environments": environments,
        "groups": groups,
        "runs": [
            _run(run, group_of[index], results[index], found[index], manifests[index])
            for index, run in enumerate(runs)
        ],
        "settings": list(_settings(runs)),
        "provenance": compared([facts(one) for one in manifests]),
    }
    return Report(content, blocks, embedded, faults)


def _read(selection: Selection) -> tuple[list[Run], list[History], list[str]]:
    """The runs whose rows can be read, with their columns, and what is wrong with others or parts of them."""
    runs, histories, faults = [], [], list(selection.faults)
    for run in selection.runs:
        try:
            history = read_columns(run)
        except StorageError as error:
            faults.append(f"{run.dir} is left out: {error}")
            continue
        if history.damaged:
            lines = "1 line is" if history.damaged == 1 else f"{history.damaged:,} lines are"
            faults.append(f"{run.dir}: {lines} damaged and left out of metrics.jsonl.")
        if not len(history):
            faults.append(f"{run.dir} has no rows yet.")
        runs.append(run)
        histories.append(history)
    if not runs:
        raise UserError(*faults, hint="See which runs there are: rlcli runs")
    return runs, histories, faults


def _keys(runs: Sequence[Run]) -> list[str]:
    """Keys that tell the groups of all environments apart, the environment's id left out."""
    found = group(runs)
    return [key for key in found[0].values if key != CHOICES["env"]] if found else []


def _group(
    one: Group, runs: Sequence[int], results: Sequence[Mapping[str, Any]], found: Sequence[Sequence[Alert]]
) -> dict[str, Any]:
    """One group of runs: label, runs, and figures over its seeds."""
    medians = {name: _median(results[run][name] for run in runs) for name in (*HEALTH, "lowest ESS")}
    return {
        "label": text(one.label),
        "runs": list(runs),
        "seeds": len(one.runs),
        "returns": {name: _interval([results[run][name] for run in runs]) for name in (*LEARNING, "best")},
        "health": medians,
        "alerts": sum(len(found[run]) for run in runs),
    }


def _interval(values: Sequence[float | None]) -> dict[str, Any] | None:
    """Interquartile mean over runs and its 95% interval; None where no run has the figure."""
    there = np.array([value for value in values if value is not None], np.float64)
    if not len(there):
        return None
    low, high = bands(there[:, None])
    return {
        "centre": number(float(iqm(there))), "low": number(float(low[0])), "high": number(float(high[0])),
        "runs": len(there),
    }  # fmt: skip


def _median(values: Iterator[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return number(float(np.median(there))) if there else None


def _metric(name: str, histories: Sequence[History]) -> dict[str, Any]:
    """A metric's title and definition, and the axis that all its charts share."""
    one = CATALOG[name]
    title, scale = TITLES[name]
    domain = shared_domain(name, scale, histories)
    return {"title": title, "unit": one.unit, "definition": one.definition, "scale": scale, "domain": domain}


def _extent(histories: Sequence[History]) -> dict[str, list[float | None]]:
    """From 0 to the last position on each axis that has one."""
    ends = {axis: [one.axis(axis)[np.isfinite(one.axis(axis))] for one in histories] for axis in AXES}
    last = {
        axis: max((part.max() for part in parts if len(part)), default=0.0) for axis, parts in ends.items()
    }
    return {axis: [0, number(float(end))] for axis, end in last.items() if end > 0}


def _run(
    run: Run,
    group_number: int,
    result: Mapping[str, Any],
    found: Sequence[Alert],
    content: Mapping[str, Any],
) -> dict[str, Any]:
    """One run: what tables show of it, its alerts, and the commands that repeat it."""
    about = run.summary
    return {
        **{name: text(about[name]) for name in ("id", "name", "status", "algo", "env", "notes", "started")},
        **{name: about[name] for name in ("seed", "env_steps", "total_steps", "updates")},
        "dir": text(run.dir),
        "finished": None if about["finished"] is None else text(about["finished"]),
        "message": None if about["message"] is None else text(about["message"]),
        "tags": [text(tag) for tag in about["tags"]],
        "resumes": len(about["resumes"]),
        "group": group_number,
        "figures": result,
        "alerts": [_alert(alert) for alert in found],
        "settings": dict(_changed(run)),
        "commands": commands(run, content),
    }


def _alert(alert: Alert) -> dict[str, Any]:
    worst = alert.worst
    return {
        "rule": text(named(alert.rule)), "count": len(alert.values), "first": int(alert.updates[0]),
        "last": int(alert.updates[-1]), "worst": number(float(alert.values[worst])),
        "worst_update": int(alert.updates[worst]), "worst_steps": number(float(alert.steps[worst])),
    }  # fmt: skip


def _changed(run: Run) -> Iterator[tuple[str, str]]:
    """Settings of a run that are no defaults."""
    for key, value in run.settings.items():
        known = KEYS.get(key)
        default = None if known is None else list(known.default) if known.is_list else known.default
        if known is None or value != default:
            yield text(key), text(display(value))


def _settings(runs: Sequence[Run]) -> Iterator[dict[str, Any]]:
    """Settings in which runs differ, with the runs of each value; effects as `rlcli diff` names them."""
    for key in dict.fromkeys(key for run in runs for key in run.settings):
        values: dict[str, list[int]] = {}
        for index, run in enumerate(runs):
            shown = display(run.settings[key]) if key in run.settings else "not there"
            values.setdefault(shown, []).append(index)
        if len(values) > 1 and key != grouping.SEED:
            known = KEYS.get(key)
            yield {
                "key": text(key),
                "doc": "" if known is None else known.declaration.doc,
                "effect": "results" if known is None else known.declaration.effect,
                "values": [{"text": text(value), "runs": which} for value, which in values.items()],
            }
