"""Writes docs/lag.md and its pictures from the figures of `scripts/lag.py`: words, tables, plots.

Every sentence about a row follows from the figures by the rules that the page states.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlcli.maths.location import interquartile_mean

Rows = Mapping[str, dict[str, Any]]
HEAD = """# Why V-trace
"""
FIGURES = (("return", "{:,.0f}"), ("ess", "{:.3f}"), ("kl", "{:.2g}"))


def table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The figures of each row and lag."""
    lines = ["| row | lag | return | ESS | KL |", "|---|---:|---:|---:|---:|"]
    for row in rows:
        for lag in sorted({run["lag"] for run in row["runs"]}):
            runs = [run for run in row["runs"] if run["lag"] == lag]
            cells = (form.format(interquartile_mean([run[name] for run in runs])) for name, form in FIGURES)
            lines.append(f"| `{row['label']}` | {lag:g} | {' | '.join(cells)} |")
    return lines


def write(known: Rows, order: Sequence[str], path: Path) -> None:
    """The page."""
    rows = [known[name] for name in order if name in known]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([HEAD, *table(rows)]) + "\n")
