"""Tables as markdown, LaTeX and CSV; text from run directories is made harmless in each format."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from rlcli.text import visible

Cell = str | float | int | None
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Beginnings of a text that a spreadsheet would compute."""
MARKDOWN = re.compile(r"([\\`*_\[\]#|~$])")
LINK = re.compile(r"[&<>@]|:(?=//)|(?<=www)[.]")
HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;", ":": "&#58;", ".": "&#46;"})
NEGATIVE = re.compile(r"(?<![\w.])-(?=[0-9.])")
"""The sign of a negative number, not that of an exponent."""
LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "{": r"\{",
        "}": r"\}",
        "$": r"\$",
        "&": r"\&",
        "%": r"\%",
        "#": r"\#",
        "_": r"\_",
        "^": r"\textasciicircum{}",
        "~": r"\textasciitilde{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        '"': "''",
        "`": r"\textasciigrave{}",
    }
)


@dataclass(frozen=True)
class Table:
    """A table with a title; cells are text."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: Collection[str]
    """Headings of the columns of numbers, which are aligned to the right."""


def markdown(table: Table) -> str:
    """A table of GitHub's markdown, below its title."""
    rules = ["---:" if heading in table.numbers else "---" for heading in table.headings]
    lines = [
        _line("| ", " | ", " |", [markdown_text(cell) for cell in table.headings]),
        _line("| ", " | ", " |", rules),
        *(_line("| ", " | ", " |", [markdown_text(cell) for cell in row]) for row in table.rows),
    ]
    return "\n".join([markdown_text(table.title), "", *lines])


def latex(table: Table) -> str:
    """A LaTeX tabular, below its title in a comment; it needs no package."""
    layout = "".join("r" if heading in table.numbers else "l" for heading in table.headings)
    lines = [
        comment(table.title),
        rf"\begin{{tabular}}{{{layout}}}",
        r"\hline",
        _line("", " & ", r" \\", [latex_text(cell) for cell in table.headings]),
        r"\hline",
        *(
            _line("", " & ", r" \\", [_cell(table, *pair) for pair in zip(table.headings, row, strict=True)])
            for row in table.rows
        ),
        r"\hline",
        r"\end{tabular}",
    ]
    return "\n".join(lines)


def csv_text(headings: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """CSV with a first line of headings; text that a spreadsheet would compute gets an apostrophe."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(headings)
    writer.writerows([_plain(cell) for cell in row] for row in rows)
    return file.getvalue().rstrip("\n")


def markdown_text(text: str) -> str:
    """Text that is neither markup nor HTML in markdown."""
    plain = MARKDOWN.sub(r"\\\1", _one_line(text))
    return LINK.sub(lambda found: found[0].translate(HTML), plain)


def latex_text(text: str) -> str:
    """Text in which LaTeX finds no commands."""
    return _one_line(text).translate(LATEX)


def _cell(table: Table, heading: str, cell: str) -> str:
    """A cell of a LaTeX table; negative numbers have a minus sign, which is longer than a hyphen."""
    text = latex_text(cell)
    return NEGATIVE.sub("$-$", text) if heading in table.numbers else text


def comment(text: str) -> str:
    """A LaTeX comment of one line."""
    return f"% {latex_text(text)}"


def _plain(cell: Cell) -> str | float | int:
    if cell is None:
        return ""
    if not isinstance(cell, str):
        return cell
    text = _one_line(cell)
    return f"'{text}" if text.startswith(FORMULA) else text


def _one_line(text: str) -> str:
    return " ".join(visible(text).split())


def _line(start: str, between: str, end: str, cells: Sequence[str]) -> str:
    return start + between.join(cells) + end
