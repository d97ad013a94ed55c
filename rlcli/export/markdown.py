"""Markdown from text of others: nothing in it becomes a link, a picture, HTML or another block."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from rlcli.text import shortened, visible

_SPECIAL = re.compile(r"([\\`*_{}\[\]()#!|~:@$]|(?<=www)\.)", re.IGNORECASE)
_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
LONGEST = 2_000
"""Maximum characters shown of one text."""
FENCE = 3
"""Backticks around a block of code, at least."""


def inline(text: object) -> str:
    """Text on one line, every character that means something in Markdown or HTML escaped."""
    flat = " ".join(shortened(visible(str(text)), LONGEST).split())
    return "".join(_HTML.get(one, one) for one in _SPECIAL.sub(r"\\\1", flat))


def block(text: str, language: str = "") -> str:
    """A block of code; its fence is longer than any row of backticks in it."""
    longest = max((len(found) for found in re.findall("`+", text)), default=0)
    fence = "`" * max(FENCE, longest + 1)
    return f"{fence}{language}\n{visible(text).rstrip()}\n{fence}"


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table of escaped cells; empty without rows."""
    lines = [f"| {' | '.join(map(inline, row))} |" for row in rows]
    if not lines:
        return ""
    return "\n".join([f"| {' | '.join(headings)} |", f"|{'---|' * len(headings)}", *lines])
