"""`rlcli compare`: groups of runs side by side, with intervals over seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rlcli.cli.output import emit, result, say
from rlcli.errors import UserError, unknown

if TYPE_CHECKING:
    from rlcli.analysis.compare.comparison import Comparison
    from rlcli.analysis.compare.profiles import Scaling
    from rlcli.analysis.compare.references import Matched

RANGE = "range"


class Format(StrEnum):
    """How a comparison is printed."""

    table = "table"
    json = "json"
    csv = "csv"
    latex = "latex"
    markdown = "markdown"


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN|SWEEP",
            help="Runs and sweeps: folders, names, prefixes of ids, or last.",
            show_default=False,
        ),
    ],
    by: Annotated[
        str | None,
        typer.Option("--by", metavar="KEYS", help="Group by keys: algo,algo.clip; default: what differs."),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            "--metric",
            metavar="NAME",
            help="Metric to compare; default: eval/return_mean, or train/return_100 where a run lacks it.",
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option("--threshold", metavar="X", help="Value to reach; default: that of the environment."),
    ] = None,
    until: Annotated[
        float | None,
        typer.Option("--until", min=1, metavar="STEPS", help="Only the rows up to these env steps."),
    ] = None,
    normalise: Annotated[
        str | None,
        typer.Option(
            "--normalise",
            metavar="HOW",
            help="Scores over several environments: range (of these runs; default), a CSV file with env, low "
            "and high, or a set of published figures.",
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option("--against", metavar="NAME", help="Published figures beside these: cleanrl, sb3_zoo."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Compare also what differs in environment, budget or metric.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, and nothing else.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV, one row per figure.")] = False,
    as_latex: Annotated[bool, typer.Option("--latex", help="LaTeX tables.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Markdown tables.")] = False,
) -> None:
    """Compare groups of runs, with 95% intervals over seeds.

    Runs that differ in nothing but their seeds are a group. Of each group: the last and the best value, the
    area under the curve, steps and seconds to a threshold, and its health. Of each two groups: the
    probability that one is better, and the difference, over all runs and over those of equal seeds. Over
    several environments: normalised scores and performance profiles. Where seeds are too few, it says how
    many would do.

    Runs of different environment versions or settings, budgets or metrics are refused. Runs that have not
    finished are left out.

    docs/compare.md has an example and all definitions.

    Examples:
      rlcli compare my-sweep
      rlcli compare my-sweep --by algo
      rlcli compare my-sweep --threshold 400
      rlcli compare my-sweep --against cleanrl
      rlcli compare my-sweep --latex
    """
    chosen = _format(json=as_json, csv=as_csv, latex=as_latex, markdown=as_markdown)
    _check_options(by, threshold)

    from rlcli.analysis.compare import comparison, references
    from rlcli.analysis.selection import select
    from rlcli.store.directory import runs_root

    published = references.read(against) if against is not None else None
    selected = select(runs, runs_root())
    found = comparison.compare(
        selected.runs,
        _thresholds(threshold),
        by=None if by is None else by.split(","),
        metric=metric,
        until=until,
        scaling=_scaling(normalise),
        force=force,
    )
    beside = {}
    if published is not None and against is not None:
        beside = {
            place.env: references.matched(published, against, place.env, place.budget, found.metric)
            for place in found.places
        }
    _print(found, beside, selected.faults, chosen)


def _format(**given: bool) -> Format:
    """The format that a flag chooses.

    Raises:
        UserError: several are given.
    """
    chosen = [name for name, is_given in given.items() if is_given]
    if len(chosen) > 1:
        raise UserError(f"Choose one of --{', --'.join(chosen)}.")
    return Format(chosen[0]) if chosen else Format.table


def _check_options(by: str | None, threshold: float | None) -> None:
    if by is not None and not all(name.strip() for name in by.split(",")):
        raise UserError(f"--by {by!r}: give keys with commas between them, such as algo,algo.clip.")
    if threshold is not None and not abs(threshold) < float("inf"):
        raise UserError(f"--threshold {threshold}: give a number.")


def _thresholds(given: float | None) -> Callable[[str, str], float | None]:
    """The threshold of an environment: the one given, else of a return the one that is registered."""
    from rlcli.analysis.compare.comparable import EVALUATION, TRAINING
    from rlcli.envs.thresholds import registered_threshold

    def of(env: str, metric: str) -> float | None:
        if given is not None or metric not in (EVALUATION, TRAINING):
            return given
        return registered_threshold(env)

    return of


def _scaling(normalise: str | None) -> Scaling:
    """How final values are normalised."""
    from rlcli.analysis.compare import references
    from rlcli.analysis.compare.profiles import FileScaling, PublishedScaling, RangeScaling

    if normalise is None or normalise == RANGE:
        return RangeScaling()
    if normalise in references.names():
        return PublishedScaling(normalise)
    path = Path(normalise)
    if not path.is_file():
        names = unknown("name", normalise, [RANGE, *references.names()])
        raise UserError(f"--normalise {normalise}: there is no such file. {names}")
    return FileScaling(path)


def _print(found: Comparison, beside: Mapping[str, Matched], faults: Sequence[str], chosen: Format) -> None:
    from rlcli.analysis.compare.verdicts import verdicts

    notes = [*faults, *found.notes, *(one.reason for one in beside.values() if one.reason)]
    if chosen == Format.json:
        from rlcli.analysis.compare.rows import as_object

        emit(as_object(found, beside) | {"notes": notes})
        return
    for note in notes:
        say(f"Note: {note}")
    if chosen == Format.csv:
        from rlcli.analysis.compare.markup import csv_text
        from rlcli.analysis.compare.rows import COLUMNS, as_rows

        result(csv_text(COLUMNS, list(as_rows(found))))
        return
    if chosen == Format.table:
        from rlcli.cli.compare_table import print_comparison

        print_comparison(found, beside)
        return

    from rlcli.analysis.compare import markup, references
    from rlcli.analysis.compare.tables import tables

    write = markup.latex if chosen == Format.latex else markup.markdown
    remark = markup.comment if chosen == Format.latex else markup.markdown_text
    figures = {env: one.figures for env, one in beside.items()}
    texts = [write(table) for table in tables(found, {label: label for label in found.labels}, figures)]
    result("\n\n".join([*texts, *map(remark, [*verdicts(found), *references.sources(beside.values())])]))
