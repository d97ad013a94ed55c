"""`rlcli theory`: puts a claim about trust regions or importance weights on trial."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rlcli.cli.options import AsJson
from rlcli.cli.out_file import check_picture
from rlcli.cli.output import emit, paragraph, result, say, table
from rlcli.errors import UserError, unknown
from rlcli.text import as_typed

if TYPE_CHECKING:
    from rlcli.theory.trial import Cell, Table, Trial

NAMES = ("drift", "surrogate", "variance", "gradient", "region", "reuse", "retrace", "offpac")
"""The trials; a test compares them with rlcli.theory.table, which is not imported for help."""


def theory(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="The trial; default: list all.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Draw it to a .png, .svg or .pdf file.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Put a claim of the literature on trial.

    Each trial computes a small case exactly, prints its figures, and says which statements hold. It takes
    seconds, needs no run, and ends with exit code 1 if a statement comes out against the theory.

    Examples:
      rlcli theory                          the claims
      rlcli theory drift                    states of two policies drift apart
      rlcli theory variance --out var.png   what importance weights cost
    """
    if name is not None and name not in NAMES:
        raise UserError(unknown("trial", name, NAMES))
    if out is not None and name is None:
        raise UserError("--out draws one trial: name it.", hint=f"rlcli theory drift --out {as_typed(out)}")
    if out is not None:
        check_picture(out)
    from rlcli.theory.table import TRIALS

    if name is None:
        for each, about in TRIALS.items():
            if as_json:
                emit({"name": each, "claim": about.CLAIM, "finding": about.FINDING})
            else:
                result(each)
                paragraph(f"claim: {about.CLAIM}", "  ")
                paragraph(f"found: {about.FINDING}", "  ")
        return
    trial = TRIALS[name].trial()
    if as_json:
        emit({**dataclasses.asdict(trial), "as_expected": trial.as_expected})
    else:
        _print(trial)
    if out is not None:
        _draw(trial, out)
    if not trial.as_expected:
        raise typer.Exit(1)


def _print(trial: Trial) -> None:
    paragraph(f"claim: {trial.claim}")
    for figures in trial.tables:
        result()
        paragraph(figures.title)
        _print_table(figures)
    result()
    for one in trial.statements:
        verdict = "holds" if one.holds else "does not hold"
        paragraph(f"{verdict}{'' if one.as_expected else ', against theory'}: {one.text}")
    result()
    paragraph(f"found: {trial.finding}")


def _print_table(figures: Table) -> None:
    texts = [[_cell(cell) for cell in row] for row in figures.rows]
    numbers = [name for name, cell in zip(figures.columns, figures.rows[0], strict=True) if cell != str(cell)]
    table(figures.columns, texts, numbers)


def _cell(cell: Cell) -> str:
    return cell if isinstance(cell, str) else f"{cell:.6g}"


def _draw(trial: Trial, path: Path) -> None:
    from rlcli.analysis.trial_plot import picture
    from rlcli.store.files import write_atomically

    write_atomically(path, picture(trial, path.suffix.removeprefix(".").lower()))
    say(f"Drawn to {path}")
