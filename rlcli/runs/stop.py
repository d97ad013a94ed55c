"""Ctrl-C and SIGTERM: the first lets the update finish and be saved, the second ends at once."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from rlcli.errors import EXIT_SIGINT, EXIT_SIGTERM

STOPPING = "Stopping after this update; once more ends at once."
CODES = {signal.SIGINT: EXIT_SIGINT, signal.SIGTERM: EXIT_SIGTERM}


class Stop:
    """Whether, and by which signal, the process was asked to end."""

    def __init__(self) -> None:
        self.exit_code: int | None = None

    def __bool__(self) -> bool:
        return self.exit_code is not None


@contextmanager
def stop_on_signals(announce: Callable[[], None], at_once: Callable[[int], None]) -> Iterator[Stop]:
    """Listens while the block runs; `announce` is called at the first signal, `at_once(code)` at the second.

    Only the main thread hears signals: elsewhere the block runs without listening.
    """
    stop = Stop()

    def heard(number: int, _: FrameType | None) -> None:
        code = CODES[signal.Signals(number)]
        # A signal may come in the middle of anything, a write to the same terminal for one.
        if not stop:
            stop.exit_code = code
            with contextlib.suppress(Exception):
                announce()
            return
        try:
            with contextlib.suppress(Exception):
                at_once(code)
        finally:
            os._exit(code)

    with heard_by(heard):
        yield stop


@contextmanager
def heard_by(heard: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Ctrl-C and SIGTERM go to `heard` while the block runs; only the main thread can hear them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, heard) for number in CODES}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
