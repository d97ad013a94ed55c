"""An override as typed data: its key, its kind and its values, parsed once from Hydra's grammar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from rlcli.config.groups import GROUPS


class Element(NamedTuple):
    """One value of an override."""

    text: str
    """In Hydra's grammar."""
    data: Any
    """As plain data."""


@dataclass(frozen=True)
class Interval:
    """Numbers between two ends."""

    low: float
    high: float
    log: bool
    """Whether values are drawn on a logarithmic scale."""
    whole: bool
    """Whether it was cast to whole numbers."""


@dataclass(frozen=True)
class Setting:
    """One checked override: a group's choice, a key's value, or a setting of Hydra's, with all its values."""

    key: str
    kind: str
    """group, value or hydra."""
    values: tuple[Element, ...]
    """More than one is swept over."""
    sweep: str = "single"
    """single, choice, range, glob or interval."""
    interval: Interval | None = None
    """Of an interval, whose ends are `values`."""

    @property
    def hydra_key(self) -> str:
        """The key with the prefix Hydra needs: '++' where names are free."""
        if self.kind == "value" and (self.key + ".").startswith("env.kwargs."):
            return "++" + self.key
        if self.kind == "group" and self.key not in GROUPS:
            return "+" + self.key
        return self.key

    @property
    def texts(self) -> tuple[str, ...]:
        """Each value as text."""
        return tuple(value.text for value in self.values)

    @property
    def hydra_word(self) -> str:
        """The override in the form Hydra itself takes."""
        return f"{self.hydra_key}={','.join(self.texts)}"
