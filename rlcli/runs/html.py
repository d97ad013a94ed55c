"""What runs look like in a notebook: small tables and curves of returns, every text in them escaped."""

from __future__ import annotations

import contextlib
import html
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rlcli.errors import RlcliError
from rlcli.loggers.progress import figure
from rlcli.runs.curve import Line, svg
from rlcli.store.rows import read_rows
from rlcli.text import shortened, visible

LONGEST = 50
"""Rows of a table."""
CURVES = (("train/return_100", "training"), ("eval/return_mean", "evaluation"))
"""Metrics drawn of one run, and what they are."""


def text(value: object) -> str:
    """Any value as text that is no HTML and steers nothing; '-' for None."""
    shown = "-" if value is None else figure(value) if isinstance(value, float) else str(value)
    return html.escape(shortened(visible(shown)))


def facts(title: str, rows: Mapping[str, object]) -> str:
    """A table of names and values below a title."""
    lines = [
        f'<tr><th style="text-align:left">{text(name)}</th><td>{text(value)}</td></tr>'
        for name, value in rows.items()
    ]
    return f"<div><b>{text(title)}</b><table>{''.join(lines)}</table></div>"


def grid(rows: Sequence[Mapping[str, Any]]) -> str:
    """A table with a column for each key of the rows; those beyond the first are counted."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    head = "".join(f"<th>{text(name)}</th>" for name in names)
    body = "".join(
        f"<tr>{''.join(f'<td>{text(row.get(name))}</td>' for name in names)}</tr>" for row in rows[:LONGEST]
    )
    more = f"<div>and {len(rows) - LONGEST:,} more</div>" if len(rows) > LONGEST else ""
    return f"<table><tr>{head}</tr>{body}</table>{more}"


def returns(run_dir: Path) -> str:
    """The curves of a run's returns; empty where its rows cannot be read or have none."""
    lines = [Line(title, points(run_dir, name)) for name, title in CURVES]
    return svg([line for line in lines if line.points], "env steps", "return")


def comparison(run_dirs: Iterable[Path]) -> str:
    """The curves of several runs' training returns."""
    lines = [Line(path.name, points(path, CURVES[0][0])) for path in run_dirs]
    return svg([line for line in lines if line.points], "env steps", "return of the last 100 episodes")


def points(run_dir: Path, name: str) -> list[tuple[float, float]]:
    """A metric over env steps; empty where the rows cannot be read."""
    found: list[tuple[float, float]] = []
    with contextlib.suppress(RlcliError, OSError):
        for row in read_rows(run_dir):
            value = row.get(name)
            if isinstance(value, int | float) and isinstance(row.get("env_steps"), int):
                found.append((float(row["env_steps"]), float(value)))
    return found
