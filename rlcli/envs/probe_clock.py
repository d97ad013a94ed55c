"""Status line on the terminal while an environment is tried out before training, with a clock.

Shown where a command asks for it (`shown`), on a terminal alone, once it takes longer than `PATIENCE`. Like
the live panel it has no thread: it is redrawn between two calls of the environment, and erased at the end.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rlcli.streams import err
from rlcli.text import visible

PATIENCE = 0.5
"""Seconds before the line is shown."""
REFRESH = 0.25
"""Minimum seconds between two drawings."""
ERASE = "\r\x1b[K"
DUMB = ("dumb", "unknown")
"""Terminals, by $TERM, that cannot erase a line."""

_shown = False


@contextmanager
def shown(wanted: bool) -> Iterator[None]:
    """Whether status lines are shown within the block."""
    global _shown
    before, _shown = _shown, wanted
    try:
        yield
    finally:
        _shown = before


class StatusLine:
    """One line of text with the seconds since it was made."""

    def __init__(self, text: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._text, self._clock = text, clock
        self._begun = clock()
        self._due = self._begun + PATIENCE
        self._drawn = False
        self._on = _shown and err().isatty() and os.environ.get("TERM", "") not in DUMB

    def tick(self) -> None:
        """Draws the line if that is due."""
        if not self._on or self._clock() < self._due:
            return
        self._due, self._drawn = self._clock() + REFRESH, True
        text = visible(f"{self._text} … {self._clock() - self._begun:.0f} s")
        err().write(ERASE + text[: _width() - 1])
        err().flush()

    def erase(self) -> None:
        """Erases the line."""
        if self._drawn:
            err().write(ERASE)
            err().flush()
            self._drawn = False


@contextmanager
def status_line(text: str) -> Iterator[StatusLine]:
    """A status line for the length of the block."""
    line = StatusLine(text)
    try:
        yield line
    finally:
        line.erase()


def _width() -> int:
    try:
        return os.get_terminal_size(err().fileno()).columns or 80
    except (OSError, ValueError):
        return 80
