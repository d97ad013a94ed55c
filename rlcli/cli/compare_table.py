"""Tables of `rlcli compare` on a terminal: groups by name, or by letter where names are too long."""

from __future__ import annotations

import itertools
import string
from collections.abc import Iterator, Mapping, Sequence

from rlcli.analysis.compare.comparison import Comparison
from rlcli.analysis.compare.markup import Table
from rlcli.analysis.compare.references import Matched, sources
from rlcli.analysis.compare.tables import tables
from rlcli.analysis.compare.verdicts import verdicts
from rlcli.cli.output import BETWEEN, paragraph, result, table
from rlcli.streams import columns, out
from rlcli.text import visible

LONGEST_LABEL = 30
"""Maximum characters of a label in a table that is not on a terminal."""


def print_comparison(found: Comparison, beside: Mapping[str, Matched]) -> None:
    """Print all tables and sentences of a comparison."""
    figures = {env: one.figures for env, one in beside.items()}
    made = list(tables(found, {label: label for label in found.labels}, figures))
    if not _fits(made, found.labels):
        letters = dict(zip(found.labels, _letters(), strict=False))
        made = list(tables(found, letters, figures))
        for label, letter in letters.items():
            paragraph(f"{letter}: {visible(label)}")
        result()
    cut = out().isatty() and max(_width(one) for one in made) > columns()
    for one in made:
        paragraph(one.title)
        table(one.headings, one.rows, tuple(one.numbers), optional=len(one.headings) - 2)
        result()
    for text in [*verdicts(found), *sources(beside.values())]:
        paragraph(text)
    if cut:
        paragraph("Columns that do not fit this terminal are left out; --json and --csv have all figures.")


def _fits(made: Sequence[Table], labels: Sequence[str]) -> bool:
    """Whether tables with whole labels fit the terminal."""
    if not out().isatty():
        return max(map(len, labels)) <= LONGEST_LABEL
    return max(_width(one) for one in made) <= columns()


def _width(one: Table) -> int:
    cells = zip(one.headings, *one.rows, strict=True)
    return sum(max(len(visible(cell)) for cell in column) + len(BETWEEN) for column in cells) - len(BETWEEN)


def _letters() -> Iterator[str]:
    """A to Z, then AA, AB and so on."""
    for length in itertools.count(1):
        yield from map("".join, itertools.product(string.ascii_uppercase, repeat=length))
