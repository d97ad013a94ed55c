"""`rlcli plot`: curves, health and slices of runs, as a picture or as text on the terminal."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rlcli.cli.options import AsJson, Quiet
from rlcli.cli.out_file import check_picture
from rlcli.cli.output import emit, result, say
from rlcli.errors import StorageError, UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rlcli.analysis.plots.plot import Plot
    from rlcli.analysis.selection import Run


class X(StrEnum):
    """What the x axis can show."""

    steps = "steps"
    seconds = "seconds"
    updates = "updates"


def plot(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN|SWEEP", help="Runs and sweeps: folders, ids, names, or last.", show_default=False
        ),
    ],
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", metavar="K", help="A metric, a group (loss) or a pattern; repeatable."),
    ] = None,
    x: Annotated[X, typer.Option("--x", help="The x axis.")] = X.steps,
    by: Annotated[
        str | None, typer.Option("--by", metavar="KEYS", help="Settings that tell groups apart: algo,clip.")
    ] = None,
    health: Annotated[bool, typer.Option("--health", help="Panels of the update metrics.")] = False,
    slices: Annotated[
        bool, typer.Option("--slices", help="Of a sweep: last values against settings, and importance.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Save a picture: .png, .svg or .pdf.")
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Plot runs: curves over training, one panel per environment.

    Runs that differ in nothing but their seeds are one line: the interquartile mean, with a 95% bootstrap
    interval. Without --metric it is the evaluated return, or that of training where evaluations are few.
    --health has KL both ways, ESS, clip fraction, KL budget used, entropy and explained variance.

    --slices plots the last value of the metric against each numeric setting in which the runs differ, and how
    much of its variation each setting explains.

    Without --out the plot is text. Pictures have the width of a paper's column, 3.3 inches, or of its text
    where there are several panels, and the same runs give the same bytes.

    Examples:
      rlcli plot last
      rlcli plot runs/my-sweep --by algo --out returns.pdf
      rlcli plot last --health --out health.png
      rlcli plot last --slices
      rlcli plot 73973d4e 5e02 --metric 'update/kl*' --x updates
    """
    if out is not None:
        check_picture(out)

    from rlcli.analysis.plots.curves import curves
    from rlcli.analysis.plots.metrics import choose
    from rlcli.analysis.plots.slices import slices as slices_of
    from rlcli.analysis.plots.slices import value_metric
    from rlcli.analysis.selection import select
    from rlcli.store.directory import runs_root

    if slices and health:
        raise UserError("--slices and --health: choose one.")
    selection = select(runs, runs_root())
    chosen, faults = _readable(selection.runs)
    keys = None if by is None else [key for key in by.split(",") if key]
    if slices:
        named = choose(chosen, metric, health=False) if metric else [value_metric(chosen)]
        if len(named) > 1:
            raise UserError("--slices: name one metric.")
        found = slices_of(chosen, named, keys)
    else:
        found = curves(chosen, choose(chosen, metric or [], health=health), x.value, keys)
    for fault in (*selection.faults, *faults):
        say(f"Warning: {fault}")
    if not quiet and not as_json:
        for note in found.notes:
            say(note)
    if out is not None:
        _save(found, out)
    if as_json:
        _emit(found, out)
    elif out is not None:
        result(f"Saved to {out}")
    else:
        _print(found)


def _save(found: Plot, out: Path) -> None:
    from rlcli.analysis.plots.figure import picture
    from rlcli.store.files import write_atomically

    write_atomically(out, picture(found, out.suffix.removeprefix(".").lower()))


def _print(found: Plot) -> None:
    from rlcli.analysis.plots.terminal import lines
    from rlcli.streams import columns
    from rlcli.streams import out as stdout

    braille = _encodes(stdout().encoding, "⣿│·█")
    shown = list(lines(found, columns(), braille=braille))
    if not stdout().isatty():
        for line in shown:
            result("".join(text for text, _ in line))
        return
    from typing import TextIO, cast

    from rich.console import Console
    from rich.text import Text

    console = Console(file=cast(TextIO, stdout()), width=columns(), highlight=False)
    for line in shown:
        console.print(Text.assemble(*line, no_wrap=True, overflow="crop"), crop=False)


def _encodes(encoding: str, text: str) -> bool:
    try:
        text.encode(encoding)
    except (UnicodeError, LookupError):
        return False
    return True


def _emit(found: Plot, out: Path | None) -> None:
    """One object per group of each panel, with its points; last the picture, if there is one."""
    from rlcli.analysis.plots.plot import Bars

    for panel in found.panels:
        if isinstance(panel, Bars):
            emit({"title": panel.title, "importance": dict(panel.bars), "measure": panel.note})
            continue
        for mark in panel.marks:
            row: dict[str, Any] = {
                "metric": panel.metric, "where": panel.where, "x": panel.x_label, "group": mark.label,
                "runs": mark.runs,
            }  # fmt: skip
            if len(mark.line[0]):
                row |= {"positions": mark.line[0].tolist(), "centre": mark.line[1].tolist()}
            if mark.band is not None:
                row |= {"low": mark.band[0].tolist(), "high": mark.band[1].tolist()}
            if len(mark.dots[0]):
                row |= {"settings": mark.dots[0].tolist(), "values": mark.dots[1].tolist()}
            emit(row)
    if out is not None:
        emit({"saved": str(out)})


def _readable(runs: Sequence[Run]) -> tuple[list[Run], list[str]]:
    """The runs whose rows can be read, and a sentence for each fault.

    Raises:
        StorageError: those of none can.
    """
    chosen, faults = [], []
    errors: list[StorageError] = []
    for run in runs:
        try:
            damaged = run.history.damaged
        except StorageError as error:
            errors.append(error)
            continue
        chosen.append(run)
        if damaged:
            amount = "1 damaged line" if damaged == 1 else f"{damaged:,} damaged lines"
            faults.append(f"{run.dir / 'metrics.jsonl'}: {amount} left out.")
    if not chosen:
        raise errors[0]
    return chosen, [*faults, *(f"A run is left out: {error}" for error in errors)]
