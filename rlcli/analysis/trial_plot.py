"""Plot of a trial of the theory: one panel for each table that has a picture."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

from rlcli.analysis.plots.figure import SETTINGS, UNDATED, fix_layout
from rlcli.analysis.plots.style import style
from rlcli.theory.trial import Cell, Picture, Table, Trial

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = 3
"""Panels beside each other at most."""
DPI = 120
MATHEMATICS = {"text.parse_math": True}
"""Powers of ten on logarithmic axes are written as such."""


def picture(trial: Trial, form: str) -> bytes:
    """The plot as a file: png, svg or pdf."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    drawn = [(table, table.picture) for table in trial.tables if table.picture is not None]
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(SETTINGS | MATHEMATICS)
        columns = min(len(drawn), COLUMNS)
        rows = math.ceil(len(drawn) / columns)
        figure = Figure(figsize=(3.4 * columns, 2.9 * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).flat
        for place, (table, how) in zip(axes, drawn, strict=False):
            _panel(place, table, how)
        for place in axes[len(drawn) :]:
            place.set_axis_off()
        figure.draw_without_rendering()
        fix_layout(figure)
        file = io.BytesIO()
        figure.savefig(file, format=form, dpi=DPI, metadata=UNDATED[form])
    return file.getvalue()


def _panel(axes: Axes, table: Table, how: Picture) -> None:
    x = _numbers(table.column(how.x))
    for place, name in enumerate(how.lines):
        look = style(place)
        axes.plot(
            x, _numbers(table.column(name)), linestyle=(0, look.dashes) if look.dashes else "-",
            color=look.colour, marker=look.marker, markersize=2.5, linewidth=1.2, label=_plain(name),
        )  # fmt: skip
    if how.log_x:
        axes.set_xscale("log" if min(x) > 0 else "symlog")
        axes.set_xticks(x, [f"{position:g}" for position in x])
        axes.minorticks_off()
    if how.log_y:
        axes.set_yscale("log")
    axes.set_xlabel(_plain(how.x))
    axes.set_title(_plain(table.title), wrap=True)
    axes.legend()


def _numbers(cells: list[Cell]) -> list[float]:
    return [float(cell) for cell in cells]


def _plain(text: str) -> str:
    """Text that matplotlib does not take for mathematics."""
    return text.replace("$", r"\$")
