"""Canvas of characters for lines and dots: braille, eight dots each, or plain letters where it is missing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rlcli.analysis.history import Array

BITS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bit of each dot of a character, by row and column."""
BRAILLE = 0x2800
ROWS, COLUMNS = 4, 2
"""Dots of a character."""


@dataclass
class Cell:
    """One character: its dots or a letter, and the line that drew it last; None: nothing did."""

    dots: int = 0
    letter: str = ""
    owner: int | None = None


class Canvas:
    """Characters on which values are drawn; x and y run from 0 to 1, y upwards."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.cells = [[Cell() for _ in range(width)] for _ in range(height)]

    def line(self, x: Array, y: Array, owner: int) -> None:
        """Draws a line through points; between two columns of dots it is filled."""
        if len(x) < 2:
            self.dots(x, y, owner)
            return
        columns = self.width * COLUMNS
        first, last = (round(float(place) * (columns - 1)) for place in (x[0], x[-1]))
        every = np.arange(max(0, first), min(columns - 1, last) + 1)
        heights = [self._row(float(value)) for value in np.interp(every / (columns - 1), x, y)]
        before = heights[0] if heights else 0
        for column, row in zip(every, heights, strict=True):
            step = 1 if row >= before else -1
            for between in range(before + (step if row != before else 0), row + step, step):
                self._set(int(column), between, owner)
            before = row

    def dots(self, x: Array, y: Array, owner: int) -> None:
        """Draws points."""
        for one, other in zip(x, y, strict=True):
            self._set(round(float(one) * (self.width * COLUMNS - 1)), self._row(float(other)), owner)

    def letter(self, x: float, y: float, letter: str, owner: int) -> None:
        """Writes a letter at a point, unless one is there."""
        column, row = min(self.width - 1, int(x * self.width)), self._row(y) // ROWS
        cell = self.cells[row][column]
        if not cell.letter:
            cell.letter, cell.owner = letter, owner

    def _row(self, y: float) -> int:
        rows = self.height * ROWS
        return min(rows - 1, max(0, round((1 - y) * (rows - 1))))

    def _set(self, column: int, row: int, owner: int) -> None:
        if 0 <= column < self.width * COLUMNS:
            cell = self.cells[row // ROWS][column // COLUMNS]
            cell.dots |= BITS[row % ROWS][column % COLUMNS]
            cell.owner = owner if not cell.letter else cell.owner

    def text(self, cell: Cell, braille: bool) -> str:
        """The character of a cell."""
        if cell.letter:
            return cell.letter
        if not cell.dots:
            return " "
        return chr(BRAILLE + cell.dots) if braille else "."
