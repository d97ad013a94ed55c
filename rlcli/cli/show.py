"""`rlcli show`: one run, its result, its health at the end, and what it was told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rlcli.cli.options import AsJson, Run
from rlcli.cli.output import emit, result, table

HEALTH = (
    "train/return_100",
    "behaviour/ess",
    "behaviour/clip_fraction",
    "behaviour/kl_mu_pi",
    "behaviour/kl_pi_mu",
    "update/budget_used",
    "update/entropy",
    "update/explained_variance",
    "time/steps_per_second",
)
"""Figures shown of the last update."""

UNTOLD = ("config_sha256",)
"""Fields for machines."""


def show(run: Run, as_json: AsJson = False) -> None:
    """Show a run and how it went.

    Its result, its health at the last update, and the settings that are not defaults.

    Examples:
      rlcli show last
      rlcli show last --json
    """
    from rlcli.runs.directory import find_run, runs_root, summary

    directory = find_run(run, runs_root())
    about = dict(summary(directory))
    health = {name: value for name, value in last_row(directory).items() if not isinstance(value, list)}
    settings = _changed(directory)
    if as_json:
        emit({**about, "health": health, "settings": settings})
        return

    from rlcli.config.values import display

    for name, value in about.items():
        if name == "resumes" and value:
            times = "once" if len(value) == 1 else f"{len(value)} times"
            result(f"resumed: {times}, after updates {', '.join(str(one['update']) for one in value)}")
        elif name not in UNTOLD and value not in (None, "", []):
            result(f"{name.replace('_', ' ')}: {display(value)}")
    figures = [(name, f"{health[name]:.4g}") for name in HEALTH if name in health]
    _section("health at the last update", figures)
    _section("settings not default", [(name, display(value)) for name, value in settings.items()])


def last_row(directory: Path) -> dict[str, Any]:
    """The last complete row of metrics.jsonl; empty when there is none."""
    try:
        lines = (directory / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    for line in reversed(lines):
        try:
            row = json.loads(line)
        except ValueError:
            continue  # torn by a crash
        if isinstance(row, dict):
            return row
    return {}


def _section(title: str, rows: list[tuple[str, str]]) -> None:
    if rows:
        result()
        table((title, ""), rows)


def _changed(directory: Path) -> dict[str, Any]:
    from rlcli.config.schema import KEYS
    from rlcli.config.serialise import flatten, from_yaml

    path = directory / "config.yaml"
    try:
        flat = flatten(from_yaml(path.read_text(encoding="utf-8"), str(path)))
    except OSError:
        return {}
    plain = {name: list(key.default) if key.is_list else key.default for name, key in KEYS.items()}
    # null stands for what is worked out at the start, so it has no value to differ from.
    return {name: value for name, value in flat.items() if value != plain[name] and name != "schedule_steps"}
