"""What the user's functions did wrong during an update: noted where it happens, taken where a run fails.

A function that fails gives NaN in place of its result, so that the run it was called for fails the assertions
of its update, and no other.
"""

from __future__ import annotations

_noted: dict[str, None] = {}


def note(text: str) -> None:
    """Notes a fault, once per update."""
    _noted[text] = None


def any_noted() -> bool:
    """Whether there are faults that nobody has taken yet."""
    return bool(_noted)


def take() -> list[str]:
    """The faults noted since the last call."""
    found = list(_noted)
    _noted.clear()
    return found
