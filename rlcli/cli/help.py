"""Help texts that fit the terminal: examples are broken between words, as a shell would take them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

KEPT = "\b"
"""Line before a paragraph whose lines are kept as they are."""
NARROW = 52
"""Columns below which Typer's own help is wider than the terminal."""
WORDS = re.compile(r"(?:[^\s'\"]|'[^']*'|\"[^\"]*\")+")
"""Words of a command line, those in quotes whole."""

if TYPE_CHECKING:
    from typer.core import TyperCommand as Base
else:
    Base = object


class FittingHelp(Base):
    """Help of a command, for terminals of any width."""

    def get_help(self, ctx: Any) -> str:
        """The help text, no wider than the terminal."""
        columns = shutil.get_terminal_size().columns
        if columns < NARROW:
            ctx.terminal_width = max(columns - 1, 20)
        return super().get_help(ctx)

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        """Write the description, and examples that fit the formatter's width."""
        whole = self.help
        self.help = fitted(whole or "", formatter.width - 2)
        try:
            super().format_help_text(ctx, formatter)
        finally:
            self.help = whole


def fitted(text: str, width: int) -> str:
    """A help text whose kept paragraphs are at most `width` wide, where words allow it."""
    lines: list[str] = []
    kept = False
    for line in text.splitlines():
        kept = line == KEPT or (kept and bool(line.strip()))
        lines += [*_broken(line, width)] if kept and len(line) > width else [line]
    return "\n".join(lines)


def _broken(line: str, width: int) -> Iterator[str]:
    """An example in several lines: its comment beneath it, or a command continued by a backslash."""
    indent = line[: len(line) - len(line.lstrip())]
    command, gap, comment = re.fullmatch(r"(.*?)(\s{2,}|$)(.*)", line.strip()).groups()  # type: ignore[union-attr]
    yield from _filled(WORDS.findall(command), indent, width, " \\")
    if gap:
        yield from _filled(comment.split(), indent + "    ", width, "")


def _filled(words: list[str], indent: str, width: int, mark: str) -> Iterator[str]:
    line = indent + words[0]
    for place, word in enumerate(words[1:], start=1):
        end = mark if place < len(words) - 1 else ""
        if len(f"{line} {word}{end}") > width:
            yield line + mark
            line = f"{indent}{'    ' if mark else ''}{word}"
        else:
            line += f" {word}"
    yield line
