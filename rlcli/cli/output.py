"""Printing of the command line: results to stdout, all else to stderr; rich only on a terminal."""

from __future__ import annotations

import errno
import json
import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO, cast

from rlcli.errors import EXIT_DONE, EXIT_STORAGE
from rlcli.streams import columns, err, out
from rlcli.text import visible

BETWEEN = "  "
"""Gap between columns of a table; that of rich."""


TOGETHER = "\N{NO-BREAK SPACE}"
"""Space at which a paragraph is not broken."""


def emit(result: Mapping[str, Any]) -> None:
    """Print one JSON object on one line of stdout; numbers that are not finite become null."""
    out().write(json.dumps(_finite(result), allow_nan=False, default=str) + "\n")


def result(text: str = "") -> None:
    """Print a line of a result on stdout."""
    out().write(visible(text) + "\n")


def say(text: str) -> None:
    """Print a line of progress on stderr."""
    err().line(text)


_kept = False


def result_is_kept() -> None:
    """Declare that the result is on disk too, so that failing to print it does not change the exit code."""
    global _kept
    _kept = True


def exit_code(code: Any) -> Any:
    """Exit code of a command that ended with `code`.

    4 where it succeeded, but its result was only to be printed and stdout could not be written. A closed
    pipe, whose reader has had enough, is no failure.
    """
    out().flush()
    error = out().error
    if error is None or (isinstance(error, OSError) and error.errno == errno.EPIPE):
        return code
    say(f"{'Warning' if _kept else 'Error'}: the result cannot be written to stdout: {reason(error)}.")
    return EXIT_STORAGE if code in (EXIT_DONE, None) and not _kept else code


def reason(error: Exception) -> str:
    """Reason why a stream failed."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def paragraph(text: str, indent: str = "") -> None:
    """Print prose of a result: wrapped on a terminal, one line elsewhere."""
    if not out().isatty():
        result(indent + text)
        return
    width = max(columns(), 20)
    lines = textwrap.wrap(
        text, width, initial_indent=indent, subsequent_indent=indent, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip
    result("\n".join(lines).replace(TOGETHER, " "))


def table(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    right: Sequence[str] = (),
    optional: int = 0,
) -> None:
    """Print a table; the columns named in `right` are numbers, aligned to the right.

    On a terminal, text wraps between words, and those of the last `optional` columns are left out for which
    there is no room. Where the others do not fit either, each row has lines of its own.
    """
    rows = [[visible(cell).replace("\n", "\\n") for cell in row] for row in rows]
    if out().isatty():
        shown = len(headings) - optional + _fitting(headings, rows, optional)
        widths = _allotted(headings[:shown], [row[:shown] for row in rows], right)
        if widths is None:
            _stacked(headings, rows)
        else:
            _rich_table(headings[:shown], [row[:shown] for row in rows], right, widths)
        return
    widths = _widths(headings, rows)
    for line in (headings, *rows):
        cells = (
            cell.rjust(width) if heading in right else cell.ljust(width)
            for cell, width, heading in zip(line, widths, headings, strict=True)
        )
        result(BETWEEN.join(cells).rstrip())


def number(value: float | None, digits: int = 1) -> str:
    """A number for a table; a dash for None."""
    return "-" if value is None else f"{value:,.{digits}f}"


def count(value: int | None) -> str:
    """An integer with thousands separators; a dash for None."""
    return "-" if value is None else f"{value:,}"


def _widths(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(len(line[column]) for line in (headings, *rows)) for column in range(len(headings))]


def _fitting(headings: Sequence[str], rows: Sequence[Sequence[str]], optional: int) -> int:
    """Number of the last columns that fit on the terminal beside the others."""
    widths = [width + len(BETWEEN) for width in _widths(headings, rows)]
    left = columns() + len(BETWEEN) - sum(widths[: len(widths) - optional])
    fitting = 0
    for width in widths[len(widths) - optional :]:
        left -= width
        fitting += left >= 0
    return fitting


def _allotted(
    headings: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str]
) -> list[int] | None:
    """Widths of columns that fit the terminal without a word broken; None where there are none.

    Numbers keep their width; of texts the widest give way first, down to their longest word.
    """
    natural = _widths(headings, rows)
    least = [
        width if heading in right else _longest_word(line[place] for line in (headings, *rows))
        for place, (heading, width) in enumerate(zip(headings, natural, strict=True))
    ]
    room = columns() - len(BETWEEN) * (len(natural) - 1)
    if sum(least) > room:
        return None
    widths = [min(width, max(room, lowest)) for width, lowest in zip(natural, least, strict=True)]
    while sum(widths) > room:
        wider = [place for place, width in enumerate(widths) if width > least[place]]
        widths[max(wider, key=lambda place: widths[place])] -= 1
    return widths


def _longest_word(texts: Iterable[str]) -> int:
    return max((len(word) for text in texts for word in text.split()), default=0)


def _stacked(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a paragraph per row: its first text, then each figure with its heading."""
    for row in rows:
        first, *others = zip(headings, row, strict=True)
        result(first[1])
        pairs = [
            cell if heading in ("", cell) else f"{heading}{TOGETHER}{cell}"
            for heading, cell in others
            if cell
        ]
        if pairs:
            paragraph(", ".join(pairs), BETWEEN)


def _rich_table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str], widths: Sequence[int]
) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, pad_edge=False, header_style="bold", padding=(0, len(BETWEEN), 0, 0))
    for heading, width in zip(headings, widths, strict=True):
        number = heading in right
        shown.add_column(heading, justify="right" if number else "left", no_wrap=number, width=width)
    for row in rows:
        shown.add_row(*(Text(cell) for cell in row))
    Console(file=cast(TextIO, out()), width=columns()).print(shown)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
