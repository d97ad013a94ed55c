"""One name of a setting or a metric in another library, with its counterparts here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Numbers = Mapping[str, Any]
"""Values of a command: by the keys of rlcli, and by names of other libraries."""
Convert = Callable[[Any, Numbers], str]
"""Override that a value becomes; raises KeyError or ValueError where a number it needs is missing."""


def as_it_is(value: Any, _: Numbers) -> str:
    """The value unchanged, under its name here."""
    return str(value)


@dataclass(frozen=True)
class PeerName:
    """Name of a setting or a metric in another library."""

    name: str
    library: str
    source: str
    """Where the library declares it: a class, a function or a script."""
    ours: tuple[str, ...]
    """Keys, groups or metrics of rlcli; none where it has no counterpart."""
    note: str = ""
    """What differs and how to convert; empty where the meaning is the same."""
    convert: Convert | None = None
    """Conversion of a value; None where a note has to do."""
    metric: bool = False

    @property
    def only_renamed(self) -> bool:
        """Whether the counterpart takes values as they are."""
        return self.convert is as_it_is

    def override(self, text: str, value: Any, numbers: Numbers) -> str | None:
        """The override here for a value and its text; None where it is not known."""
        if self.only_renamed:
            return f"{self.ours[0]}={text}"
        try:
            return None if self.convert is None else self.convert(value, numbers)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            return None
