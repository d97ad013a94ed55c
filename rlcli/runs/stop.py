"""Signal handling: the first Ctrl-C or SIGTERM ends a run after its update, the second at once.

Who sends SIGTERM sends no second one, but SIGKILL some time later. So after the first the process ends at
once, too, where a call of an environment does not return.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from rlcli.envs.stuck import CallWatch
from rlcli.envs.user_code import prefixed
from rlcli.errors import EXIT_SIGINT, EXIT_SIGTERM
from rlcli.streams import say_at_once

if TYPE_CHECKING:
    from rlcli.runs.reference import Reference

LONGEST_CALL = 10.0
"""Seconds that one call of an environment may last after the first signal."""
LOOK_EVERY = 0.5
"""Seconds between two looks at whether it has returned."""
CODES = {signal.SIGINT: EXIT_SIGINT, signal.SIGTERM: EXIT_SIGTERM}


def stopping(what: Reference, left: str = "") -> str:
    """The message after a first signal; `left`: the time the update in progress still takes, if known."""
    after = f", in {left}" if left else ""
    return (
        f"Stopping {what.name} after this update{after}. Press Ctrl-C again to quit at once.\n"
        f"Resume it with: rlcli resume {what.words}"
    )


def quitting(what: Reference, saved: int | None = None) -> str:
    """The message after a second signal; `saved`: the update of a run's last checkpoint, 0 without one."""
    kept = f" Its last checkpoint is of update {saved:,}." if saved else ""
    if saved == 0:
        kept = " It has no checkpoint yet, so it starts again."
    return f"Quit {what.name} at once.{kept}\nResume it with: rlcli resume {what.words}"


class Stop:
    """Stop request: whether there was a signal, and the exit code for it."""

    def __init__(self) -> None:
        self._exit_code: int | None = None

    @property
    def exit_code(self) -> int | None:
        """The exit code for the signal; None if there was none."""
        return self._exit_code

    def request(self, exit_code: int) -> None:
        """Requests the process to end with an exit code."""
        self._exit_code = exit_code

    def __bool__(self) -> bool:
        return self._exit_code is not None


@contextmanager
def stop_on_signals(announce: Callable[[], None], at_once: Callable[[int], None]) -> Iterator[Stop]:
    """Handles signals in the block; `announce` is called at the first, `at_once(code)` at the second.

    Only the main thread receives signals: in other threads the block runs without handlers.
    """
    stop, ended = Stop(), threading.Event()

    def end(code: int) -> None:
        try:
            with contextlib.suppress(Exception):
                at_once(code)
        finally:
            os._exit(code)

    def handler(number: int, _: FrameType | None) -> None:
        code = CODES[signal.Signals(number)]
        # A signal may come in the middle of anything, a write to the same terminal for one.
        if not stop:
            stop.request(code)
            with contextlib.suppress(Exception):
                announce()
            return
        end(code)

    # A thread cannot be started in a handler: the signal may come while another one is.
    watch = threading.Thread(
        target=_watch, args=(threading.get_ident(), stop, ended, end), name="stop", daemon=True
    )
    with handle_signals(handler):
        watch.start()
        try:
            yield stop
        finally:
            ended.set()


def _watch(thread: int, stop: Stop, ended: threading.Event, end: Callable[[int], None]) -> None:
    """After a signal, says which call of an environment does not return; after SIGTERM ends the process."""
    calls = CallWatch(thread)
    while not ended.wait(LOOK_EVERY):
        if not stop or calls.look() < LONGEST_CALL:
            continue
        text = f"A call of the environment has not returned for {LONGEST_CALL:.0f} s."
        if stop.exit_code == EXIT_SIGTERM:
            say_at_once(prefixed(calls.place(), text))
            end(EXIT_SIGTERM)
        say_at_once(prefixed(calls.place(), f"{text} Press Ctrl-C again to quit at once."))
        return


@contextmanager
def handle_signals(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Installs a handler of Ctrl-C and SIGTERM while the block runs, if this is the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in CODES}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
