"""Finding of a check of the installation or of this machine, and how its figures are written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

MB, GB = 10**6, 10**9


class Status(StrEnum):
    """Whether something is in order."""

    OK = "ok"
    NOTE = "note"
    BROKEN = "broken"


@dataclass(frozen=True)
class Finding:
    """Result of a check."""

    topic: str
    status: Status
    text: str
    advice: str | None = None
    """What to do, where there is something to do."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """The same as data."""


def size(amount: int) -> str:
    """Bytes for a reader: 12.3 GB, 310 MB."""
    return f"{amount / GB:,.1f} GB" if amount >= GB else f"{amount / MB:,.0f} MB"


def tilde(path: Path) -> str:
    """A path with the home folder as ~: shorter, and without the user's name."""
    try:
        inside = path.relative_to(Path.home())
    except (ValueError, RuntimeError):
        return str(path)
    return str(Path("~") / inside)
