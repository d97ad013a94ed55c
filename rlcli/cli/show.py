"""`rlcli show`: shows the result, health and settings of a run, or the jobs of a sweep."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from rlcli.cli.options import AsJson, Run
from rlcli.cli.outcome import emit_sweep, print_sweep
from rlcli.cli.output import emit, result, table

HIDDEN = ("config_sha256",)
"""Fields that are only in the JSON output."""


def show(run: Run, as_json: AsJson = False) -> None:
    """Show a run's result, health and settings, or the jobs of a sweep.

    Of a run: its result, its health at the last update, and the settings that are not defaults. Of a sweep:
    one line per job.

    Examples:
      rlcli show last
      rlcli show runs/my-sweep
      rlcli show last --json
    """
    from rlcli.catalog import HEADLINES
    from rlcli.store.directory import find_run, find_sweep, runs_root, summary
    from rlcli.store.rows import last_row

    sweep_dir = find_sweep(run, runs_root())
    if sweep_dir is not None:
        _show_sweep(sweep_dir, as_json)
        return
    directory = find_run(run, runs_root())
    about = dict(summary(directory))
    health = last_row(directory)
    settings = _changed(directory)
    if as_json:
        emit({**about, "health": health, "settings": settings})
        return

    from rlcli.config.values import display

    for name, value in about.items():
        if name == "resumes" and value:
            times = "once" if len(value) == 1 else f"{len(value)} times"
            result(f"resumed: {times}, after updates {', '.join(str(one['update']) for one in value)}")
        elif name not in HIDDEN and value not in (None, "", []):
            result(f"{name.replace('_', ' ')}: {display(value)}")
    figures = [(name, f"{health[name]:.4g}") for name in HEADLINES if name in health]
    _section("health at the last update", figures)
    _section("settings not default", [(name, display(value)) for name, value in settings.items()])


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
    from rlcli.config.schema import KEYS
    from rlcli.config.serialise import flatten
    from rlcli.store.config_file import read_config

    flat = flatten(read_config(directory))
    plain = {name: list(key.default) if key.is_list else key.default for name, key in KEYS.items()}
    # null is resolved at the start, so there is no default to differ from
    return {name: value for name, value in flat.items() if value != plain[name] and name != "schedule_steps"}
