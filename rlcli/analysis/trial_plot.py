"""Plot of a trial of the theory: one panel for each table that has a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlcli.theory.trial import Cell, Picture, Table, Trial

if TYPE_CHECKING:
    from matplotlib.axes import Axes

UNDATED: dict[str, dict[str, None]] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
"""By format: metadata without which equal plots are equal files."""
SPINES = ("axes.spines.top", "axes.spines.right")
STYLES = ("-", "--", ":", "-.")
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
"""Colours of Okabe and Ito, which the colour-blind tell apart; styles differ too."""


def draw(trial: Trial, path: Path) -> None:
    """Writes the plot; the ending of the path chooses the format.

    Raises:
        OSError: it cannot be written.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    drawn = [(table, table.picture) for table in trial.tables if table.picture is not None]
    settings: Any = {
        "font.size": 8,
        "svg.hashsalt": "rlcli",
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with mpl.rc_context(settings):
        figure = Figure(figsize=(3.4 * len(drawn), 2.9), layout="constrained")
        axes = figure.subplots(1, len(drawn), squeeze=False)[0]
        for place, (table, picture) in zip(axes, drawn, strict=True):
            _panel(place, table, picture)
        figure.savefig(path, dpi=120, metadata=UNDATED.get(path.suffix, {}))


def _panel(axes: Axes, table: Table, picture: Picture) -> None:
    x = _numbers(table.column(picture.x))
    for place, name in enumerate(picture.lines):
        axes.plot(
            x,
            _numbers(table.column(name)),
            STYLES[(place + place // len(COLOURS)) % len(STYLES)],
            color=COLOURS[place % len(COLOURS)],
            marker="o",
            markersize=2.5,
            linewidth=1.2,
            label=_plain(name),
        )
    if picture.log_x:
        axes.set_xscale("log" if min(x) > 0 else "symlog")
    if picture.log_y:
        axes.set_yscale("log")
    axes.set_xlabel(_plain(picture.x))
    axes.set_title(_plain(table.title), fontsize=8, wrap=True)
    axes.grid(linewidth=0.3, alpha=0.5)
    axes.legend(fontsize=7, frameon=False)


def _numbers(cells: list[Cell]) -> list[float]:
    return [float(cell) for cell in cells]


def _plain(text: str) -> str:
    """Text that matplotlib does not take for mathematics."""
    return text.replace("$", r"\$")
