"""Pictures of plots by matplotlib: PNG, SVG or PDF, the same bytes for the same runs.

Sized for print: one panel is 3.3 inches wide, a column of a paper; several are 6.9 together, its text. No
font is below 7 points. Text of runs is never read as formulas, and the reader's own matplotlib settings are
not used.
"""

from __future__ import annotations

import io
import textwrap
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from rlcli.analysis.plots import axes as ticks_of
from rlcli.analysis.plots.plot import OTHERS, Bars, Mark, Panel, Plot
from rlcli.analysis.plots.style import style
from rlcli.text import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ONE, SEVERAL = 3.3, 6.9
"""Width in inches of a picture with one column of panels, and with more."""
HEIGHT = 2.05
"""Height of a row of panels."""
FONT, SMALL = 7.5, 7.0
"""Points."""
DIRECT = 0.34
"""Maximum share of a panel's width for labels at the ends of lines; longer ones go into a legend."""
LONGEST = 60
"""Maximum characters of a label."""
DPI = 250
UNDATED: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
"""By format: metadata without which equal plots are equal files."""
SETTINGS: Any = {
    "text.parse_math": False, "font.family": ["DejaVu Sans"], "font.size": FONT, "axes.titlesize": FONT,
    "axes.labelsize": FONT, "xtick.labelsize": SMALL, "ytick.labelsize": SMALL, "legend.fontsize": SMALL,
    "axes.titlelocation": "left", "axes.titlepad": 4.0, "axes.labelpad": 2.0, "axes.linewidth": 0.6,
    "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True, "axes.edgecolor": "#444444",
    "axes.grid": True, "grid.color": "#e6e6e6", "grid.linewidth": 0.5, "xtick.major.size": 2.5,
    "ytick.major.size": 2.5, "xtick.major.width": 0.6, "ytick.major.width": 0.6, "xtick.major.pad": 2.0,
    "ytick.major.pad": 2.0, "svg.hashsalt": "rlcli", "path.simplify": True, "pdf.fonttype": 42,
    "legend.frameon": False,
}  # fmt: skip
PLACES = 9
"""Decimals of where a panel is and how large, in parts of the picture."""


def picture(plot: Plot, form: str) -> bytes:
    """The plot as a file: png, svg or pdf."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # letters that the font lacks become boxes
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(SETTINGS)
        columns = min(plot.columns, len(plot.panels))
        rows = -(-len(plot.panels) // columns)
        width = ONE if columns == 1 else SEVERAL
        panel_width = width / columns
        legend = plot.labels if len(plot.labels) > 1 else []
        direct = bool(legend) and _fits_beside(plot, panel_width) and columns < 3
        footer = _footer(plot, width, 0 if direct else len(legend))
        height = rows * HEIGHT + footer
        engine = ConstrainedLayoutEngine(
            w_pad=0.03,
            h_pad=0.04,
            wspace=0.02,
            hspace=0.02,
            rect=(0, footer / height, 1, 1 - footer / height),
        )
        figure = Figure(figsize=(width, height), layout=engine, dpi=DPI)
        FigureCanvasAgg(figure)
        grid = figure.subplots(rows, columns, squeeze=False)
        labels = []
        for place, axes in enumerate(grid.flat):
            if place >= len(plot.panels):
                axes.set_axis_off()
                continue
            panel = plot.panels[place]
            if isinstance(panel, Bars):
                _bars(axes, panel, panel_width)
            else:
                _panel(axes, panel)
                below = plot.panels[place + columns] if place + columns < len(plot.panels) else None
                if isinstance(below, Panel) and below.x_label == panel.x_label:
                    axes.set_xlabel("")
                if direct:
                    labels.append((axes, panel, _labels(axes, panel)))
        _write_footer(figure, plot, width, [] if direct else legend)
        figure.draw_without_rendering()
        for axes, panel, texts in labels:
            _spread(figure, axes, panel, texts)
        fix_layout(figure)
        return _saved(figure, form)


def fix_layout(figure: Figure) -> None:
    """Ends the layout of a figure that was laid out, with rounded places of its panels.

    The solver's last bits hang on addresses in memory, and names of clip paths in a file on every bit.
    """
    figure.set_layout_engine("none")
    for axes in figure.axes:
        bounds = axes.get_position(original=True).bounds
        left, bottom, width, height = (round(bound, PLACES) for bound in bounds)
        axes.set_position((left, bottom, width, height))


def _saved(figure: Figure, form: str) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format=form, metadata=UNDATED[form])
    return stream.getvalue()


def _panel(axes: Axes, panel: Panel) -> None:
    axes.set_title(_safe(panel.title))
    axes.set_xlabel(_safe(panel.x_label))
    axes.set_ylabel(_safe(panel.y_label))
    for level in panel.shown_levels():
        axes.axhline(level.value, color="#777777", linewidth=0.7, dashes=(2, 2), zorder=1.5)
        axes.annotate(
            level.label, (0, level.value), xycoords=("axes fraction", "data"), xytext=(2, 1.5),
            textcoords="offset points", fontsize=SMALL, color="#666666", annotation_clip=True,
        )  # fmt: skip
    for mark in panel.marks:
        _mark(axes, mark, panel)
    _x_axis(axes, panel)
    low, high = panel.range()
    places = ticks_of.ticks(low, high, 6)
    axes.set_yticks(places, ticks_of.labels(places))
    axes.set_ylim(low, high)


def _mark(axes: Axes, mark: Mark, panel: Panel) -> None:
    look = style(mark.place)
    styled = mark.place != OTHERS
    for x, y in mark.singles:
        axes.plot(x, y, color=look.colour, linewidth=0.35, alpha=0.45, zorder=2)
    if mark.band is not None:
        axes.fill_between(
            mark.line[0],
            *mark.band,
            color=look.colour,
            alpha=0.18 if len(panel.marks) <= 4 else 0.1,
            linewidth=0,
            zorder=2.2,
        )
    if len(mark.dots[0]):
        axes.plot(
            *mark.dots, linestyle="none", marker=look.marker, markersize=2.6, color=look.colour, alpha=0.6,
            markeredgewidth=0, zorder=2.5,
        )  # fmt: skip
    if len(mark.line[0]):
        (line,) = axes.plot(
            *mark.line, color=look.colour, linewidth=1.3 if styled else 0.5, zorder=3 + 0.1 * mark.place,
            alpha=1 if styled else 0.7,
        )  # fmt: skip
        if look.dashes:
            line.set_dashes(look.dashes)


def _x_axis(axes: Axes, panel: Panel) -> None:
    low, high = panel.x_range()
    if panel.log_x:
        axes.set_xscale("log")
    axes.set_xlim(low, high)
    places = (ticks_of.log_ticks if panel.log_x else ticks_of.ticks)(low, high, 5)
    axes.set_xticks(places, ticks_of.labels(places))
    axes.set_xticks([], minor=True)


def _bars(axes: Axes, panel: Bars, width: float) -> None:
    shown = panel.bars[:8][::-1]
    axes.set_title(_safe(panel.title))
    axes.barh(range(len(shown)), [value for _, value in shown], color=style(0).colour, height=0.6)
    axes.set_yticks(range(len(shown)), [_safe(name, 24) for name, _ in shown])
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.set_xlabel(textwrap.fill(panel.note, int(width * 13)))
    axes.grid(visible=False, axis="y")
    for place, (_, value) in enumerate(shown):
        inside = value > 0.85
        axes.annotate(
            f"{value:.2f}", (value, place), xytext=(-2 if inside else 2, 0), textcoords="offset points",
            ha="right" if inside else "left", va="center", fontsize=SMALL,
            color="white" if inside else "black",
        )  # fmt: skip


def _fits_beside(plot: Plot, panel_width: float) -> bool:
    longest = max(_width(label) for _, label in plot.labels)
    return longest <= DIRECT * panel_width


def _width(text: str) -> float:
    """Width of small text in inches."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    path = TextPath((0, 0), _safe(text), size=SMALL, prop=FontProperties(family=["DejaVu Sans"]))
    return float(path.get_extents().width) / 72


def _labels(axes: Axes, panel: Panel) -> list[Any]:
    """Labels at the right edge, each at the height where its line ends."""
    return [
        axes.text(
            1.03, _end(mark), _safe(mark.label), transform=axes.get_yaxis_transform(), va="center",
            fontsize=SMALL, color=style(mark.place).colour, clip_on=False,
        )
        for mark in panel.marks
        if mark.place != OTHERS and (len(mark.line[0]) or len(mark.dots[0]))
    ]  # fmt: skip


def _end(mark: Mark) -> float:
    return mark.last[1] if len(mark.line[0]) else float(np.median(mark.dots[1]))


def _spread(figure: Figure, axes: Axes, panel: Panel, texts: list[Any]) -> None:
    """Moves labels apart, and connects each with the end of its line."""
    marks = [
        mark for mark in panel.marks if mark.place != OTHERS and (len(mark.line[0]) or len(mark.dots[0]))
    ]
    box = axes.get_window_extent()
    gap = SMALL / 72 * figure.dpi * 1.15
    wanted = [float(axes.transData.transform((1, _end(mark)))[1]) for mark in marks]
    found = ticks_of.spread(wanted, gap, box.y0, box.y1)
    for mark, text, old, new in zip(marks, texts, wanted, found, strict=True):
        place = (new - box.y0) / box.height
        text.set_transform(axes.transAxes)
        text.set_position((1.03, place))
        if len(mark.line[0]):
            end = axes.transAxes.inverted().transform(axes.transData.transform(mark.last))
            if abs(new - old) > 1 or end[0] < 0.98:
                axes.plot(
                    [end[0], 1.025], [end[1], place], transform=axes.transAxes, clip_on=False, linewidth=0.5,
                    color=style(mark.place).colour, alpha=0.7, scalex=False, scaley=False,
                )  # fmt: skip


LINE = 0.125
"""Inches of a line of the footer."""


def _legend_columns(plot: Plot, width: float) -> int:
    longest = max(_width(label) for _, label in plot.labels) + 0.5
    return max(1, min(len(plot.labels), int(width / longest)))


def _caption_lines(plot: Plot, width: float) -> list[str]:
    return textwrap.wrap(plot.caption, int(width * 19)) if plot.caption else []


def _footer(plot: Plot, width: float, entries: int) -> float:
    """Height in inches of legend and caption beneath the panels."""
    rows = -(-entries // _legend_columns(plot, width)) if entries else 0
    lines = len(_caption_lines(plot, width))
    return rows * LINE + lines * LINE + (0.06 if rows or lines else 0.0)


def _write_footer(figure: Figure, plot: Plot, width: float, legend: list[tuple[int, str]]) -> None:
    height = figure.get_figheight()
    lines = _caption_lines(plot, width)
    if lines:
        figure.text(
            0.5, 0.03 / height, "\n".join(lines), ha="center", va="bottom", fontsize=SMALL, color="#444444",
            linespacing=1.15,
        )  # fmt: skip
    if not legend:
        return
    from matplotlib.lines import Line2D

    handles = []
    dotted = any(
        len(mark.dots[0]) for panel in plot.panels if isinstance(panel, Panel) for mark in panel.marks
    )
    for place, label in legend:
        look = style(place)
        handle = Line2D(
            [], [], color=look.colour, linewidth=1.3, label=_safe(label),
            marker=look.marker if dotted else None, markersize=3,
        )  # fmt: skip
        if look.dashes:
            handle.set_dashes(look.dashes)
        handles.append(handle)
    figure.legend(
        handles=handles, loc="lower center", ncols=_legend_columns(plot, width), borderaxespad=0, borderpad=0,
        bbox_to_anchor=(0.5, (0.04 + LINE * len(lines)) / height), handlelength=2.6, labelspacing=0.25,
        columnspacing=1.2, handletextpad=0.5,
    ).set_in_layout(False)  # fmt: skip


def _safe(text: str, longest: int = LONGEST) -> str:
    """Text of runs on one line; a label that begins with _ would be hidden."""
    flat = visible(text).replace("\n", " ")
    cut = flat if len(flat) <= longest else flat[: longest - 3] + "..."
    return f" {cut}" if cut.startswith("_") else cut
