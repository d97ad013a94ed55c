"""`rlcli show`: shows the result, health and settings of a run, or the jobs of a sweep."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from rlcli.cli.options import AsJson
from rlcli.cli.outcome import emit_sweep, print_sweep
from rlcli.cli.output import count, emit, paragraph, result, table
from rlcli.cli.profile_table import print_profile
from rlcli.cli.times import between, readable

RunOrSweep = Annotated[
    str,
    typer.Argument(
        metavar="RUN", help="A run's folder, a prefix of its id, last, or a sweep.", show_default=False
    ),
]


def show(run: RunOrSweep, as_json: AsJson = False) -> None:
    """Show a run, or the jobs of a sweep.

    Of a run: its result, its health at the last update, the settings that are not defaults, and where the
    time went if it was trained with profile=true. Of a sweep: one line per job. Figures are rounded and times
    are in UTC; --json has them in full.

    Examples:
      rlcli show last
      rlcli show runs/my-sweep
      rlcli show last --json
    """
    from rlcli.store.alert_rows import read_alerts
    from rlcli.store.directory import find_run, find_sweep, runs_root, summary
    from rlcli.store.manifest import Manifest
    from rlcli.store.profile import read_profile
    from rlcli.store.rows import last_row

    sweep_dir = find_sweep(run, runs_root())
    if sweep_dir is not None:
        _show_sweep(sweep_dir, as_json)
        return
    directory = find_run(run, runs_root())
    about = dict(summary(directory))
    inexact = Manifest.read(directory).content.get("inexact_reason")
    health = last_row(directory)
    settings = _changed(directory)
    profile = read_profile(directory)
    alerts = read_alerts(directory)
    if as_json:
        shown = {} if profile is None else {"profile": profile._asdict()}
        emit({**about, "health": health, "settings": settings, "alerts": alerts, **shown})
        return

    from rlcli.catalog.table import HEADLINES
    from rlcli.config.values import display

    for name, text in _facts(about | {"inexact_reason": inexact}):
        paragraph(f"{name}: {text}")
    figures = [(name, _rounded(name, health[name])) for name in HEADLINES if name in health]
    _section("health at the last update", figures)
    _section("alerts", [(one["alert"], f"update {count(one['update'])}: {one['text']}") for one in alerts])
    _section("changed settings", [(name, display(value)) for name, value in settings.items()])
    if profile is not None:
        result()
        print_profile(profile)


def _rounded(name: str, value: float) -> str:
    """A metric rounded as the live panel rounds it."""
    from rlcli.catalog.table import METRICS
    from rlcli.loggers.progress import figure, share

    return share(value) if METRICS[name].unit == "fraction" else figure(value)


def _facts(about: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What is shown of a run's summary: name and text of each line."""
    from rlcli.loggers.progress import figure

    yield "run", f"{about['algo']} on {about['env']}, seed {about['seed']}"
    yield "name", str(about["name"])
    yield "id", str(about["id"])
    yield "dir", str(about["dir"])
    yield "status", str(about["status"])
    if about["parent"]:
        parent = about["parent"]
        taken = ", ".join(parent["carried"])
        yield "fork of", f"{parent['id']} at update {count(parent['update'])} ({parent['dir']}): {taken}"
    if about["message"]:
        yield "message", str(about["message"])
    if about["exit_code"]:
        yield "exit code", str(about["exit_code"])
    if about["eval_return_mean"] is not None:
        best = about["best_return_mean"]
        better = "" if best is None else f", best {figure(best)}"
        yield "return", f"{figure(about['eval_return_mean'])}{better}"
    if about["eval_every_reason"]:
        yield "evaluated", str(about["eval_every_reason"]).removeprefix("Evaluated ")
    yield "steps", _steps(about)
    yield from _times(about)
    for name in ("backend", "kernel", "sweep", "reproduces", "notes"):
        if about[name] and about[name] != "native":
            yield name, str(about[name])
    yield from _env_backend(about)
    if about["tags"]:
        yield "tags", ", ".join(about["tags"])
    if not about["exact_resume"]:
        yield "exact resume", f"no: {about['inexact_reason']}" if about["inexact_reason"] else "no"


def _env_backend(about: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What stepped the environments, where that is not Gymnasium or might be expected not to be."""
    stepped, reason = about["env_backend"], about["env_backend_reason"]
    if reason is not None:
        yield "env backend", f"{stepped}: {reason}"
    elif stepped not in (None, "gymnasium"):
        yield "env backend", str(stepped)


def _steps(about: Mapping[str, Any]) -> str:
    done, total = about["env_steps"], about["total_steps"]
    share = "" if done >= total or total <= 0 else f" of {count(total)} ({done / total:.0%})"
    return f"{count(done)}{share}, {count(about['updates'])} update{'' if about['updates'] == 1 else 's'}"


def _times(about: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """When the run started, how long it took, and when it was resumed."""
    from rlcli.loggers.progress import duration

    yield "started", f"{readable(about['started'])} UTC"
    if about["resumes"]:
        updates = [count(one["update"]) for one in about["resumes"]]
        times = "once, after update" if len(updates) == 1 else f"{len(updates)} times, after updates"
        yield "resumed", f"{times} {', '.join(updates)}; last at {readable(about['resumes'][-1]['time'])} UTC"
    if about["finished"]:
        yield "ended", f"{readable(about['finished'])} UTC"
    if not about["resumes"] and (about["finished"] or about["status"] == "running"):
        yield "duration", duration(between(about["started"], about["finished"]))


def _show_sweep(directory: Path, as_json: bool) -> None:
    from rlcli.sweeps.sweep import Sweep

    sweep = Sweep.read(directory)
    if as_json:
        emit_sweep(sweep)
        return
    print_sweep(sweep)
    counts = Counter(job.status for job in sweep.jobs)
    result(", ".join(f"{number} {status}" for status, number in counts.items()))


def _section(title: str, rows: list[tuple[str, str]]) -> None:
    if rows:
        result()
        table((title, ""), rows)


def _changed(directory: Path) -> dict[str, Any]:
    from rlcli.config.schema.keys import KEYS
    from rlcli.config.serialise import flatten
    from rlcli.store.config_file import read_config

    flat = flatten(read_config(directory))
    plain = {name: list(key.default) if key.is_list else key.default for name, key in KEYS.items()}
    # null and auto are resolved at the start, so there is no default to differ from
    resolved = ("schedule_steps", "compute.kernel")
    return {name: value for name, value in flat.items() if value != plain.get(name) and name not in resolved}
