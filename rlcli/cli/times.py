"""Recorded times for people: read from a manifest, shown in UTC, and as durations."""

from __future__ import annotations

import datetime


def recorded(text: str | None) -> datetime.datetime | None:
    """The time in a text as manifest.json has it; None if it is none."""
    try:
        found = datetime.datetime.fromisoformat(text or "")
        return found.astimezone(datetime.UTC) if found.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def readable(text: str, *, seconds: bool = True) -> str:
    """A recorded time without its fractions, in UTC; another text as it is."""
    found = recorded(text)
    return text if found is None else found.strftime("%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M")


def between(started: str, finished: str | None) -> float | None:
    """Seconds between two recorded times, or from the first until now; None where one is no time."""
    first = recorded(started)
    last = datetime.datetime.now(datetime.UTC) if finished is None else recorded(finished)
    return None if first is None or last is None else (last - first).total_seconds()
