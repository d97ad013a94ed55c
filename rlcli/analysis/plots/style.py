"""Styles of lines: colours that colour-blind readers tell apart, each with a line style of its own."""

from __future__ import annotations

from typing import NamedTuple


class Style(NamedTuple):
    """Look of a group in a picture and on a terminal."""

    colour: str
    dashes: tuple[float, ...]
    """Lengths of dashes and gaps in line widths; empty: solid."""
    marker: str
    terminal: str
    letter: str


STYLES = (
    Style("#0072B2", (), "o", "blue", "A"),
    Style("#D55E00", (4, 1.4), "s", "red", "B"),
    Style("#009E73", (1.2, 1.2), "^", "green", "C"),
    Style("#CC79A7", (5, 1.2, 1.2, 1.2), "D", "magenta", "D"),
    Style("#56B4E9", (8, 1.6), "v", "cyan", "E"),
    Style("#E69F00", (2.4, 1.2), "P", "yellow", "F"),
    Style("#000000", (5, 1, 1.2, 1, 1.2, 1), "X", "bright_black", "G"),
    Style("#8B6D00", (1.2, 2.4), "*", "bright_yellow", "H"),
)
"""Colours of Okabe and Ito 2008, Color Universal Design; its yellow, too pale for a line, is darkened."""
GREY = Style("#999999", (), ".", "bright_black", ".")
"""Groups beyond them."""


def style(place: int) -> Style:
    """The style of the group with that number; grey beyond the last and for negative numbers."""
    return STYLES[place] if 0 <= place < len(STYLES) else GREY
