"""A trial of one claim: a table of exact figures, and statements that hold or do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Cell = float | str


@dataclass(frozen=True)
class Statement:
    """A statement about the figures of a trial."""

    text: str
    holds: bool
    expected: bool = True
    """False for a claim of the sources that the trial refutes."""

    @property
    def as_expected(self) -> bool:
        """Whether the trial came out as theory says."""
        return self.holds is self.expected


@dataclass(frozen=True)
class Picture:
    """How a table is drawn."""

    x: str
    """The column of positions."""
    lines: Sequence[str]
    """Columns drawn against it."""
    log_x: bool = False
    log_y: bool = False


@dataclass(frozen=True)
class Table:
    """Figures of a trial under one heading."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    picture: Picture | None = None

    def column(self, name: str) -> list[Cell]:
        """The cells of a column, from the first row to the last."""
        place = self.columns.index(name)
        return [row[place] for row in self.rows]


@dataclass(frozen=True)
class Trial:
    """A claim, the figures, and what holds."""

    name: str
    claim: str
    """The claim of the literature, in a sentence."""
    finding: str
    """The statement that holds."""
    tables: tuple[Table, ...]
    statements: tuple[Statement, ...]

    @property
    def as_expected(self) -> bool:
        """Whether every statement came out as theory says."""
        return all(one.as_expected for one in self.statements)
