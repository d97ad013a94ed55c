"""Keys pressed on the terminal, read one by one without Enter."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import time
import tty
from collections.abc import Iterator

LEAVE = b"qQ\x03\x04"
"""q, Ctrl-C, Ctrl-D."""


class Keys:
    """The keyboard while something is watched; without a terminal on standard input there is none."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def leaves(self, seconds: float) -> bool:
        """Waits so long, or until a key asks to leave; whether one did."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if self._descriptor is None:
                time.sleep(left)
                return False
            ready, _, _ = select.select([self._descriptor], [], [], left)
            if not ready:
                return False
            pressed = os.read(self._descriptor, 64)
            if not pressed:
                self._descriptor = None  # its other end is closed
            elif set(pressed) & set(LEAVE):
                return True
        return False


@contextlib.contextmanager
def keyboard() -> Iterator[Keys]:
    """Standard input without echo and line by line reading; as it was before, whatever happens inside."""
    try:
        descriptor = sys.stdin.fileno() if sys.stdin.isatty() else None
        before = None if descriptor is None else termios.tcgetattr(descriptor)
    except (OSError, ValueError, termios.error):
        descriptor, before = None, None
    if descriptor is None or before is None:
        yield Keys(None)
        return
    try:
        tty.setcbreak(descriptor, termios.TCSADRAIN)  # keys pressed before are kept
        yield Keys(descriptor)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
