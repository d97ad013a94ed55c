"""Watch over calls of environments that do not return, from another thread."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable
from types import FrameType

from rlcli.envs.user_code import place_of_frames

CALLERS = __package__
"""The package whose modules call environments."""
OURS = CALLERS.split(".")[0]


def call_in_progress(thread: int) -> FrameType | None:
    """The frame of the method of an environment that a thread is in; None if it is in none.

    It is the same object as long as that call lasts.
    """
    inner, frame = None, sys._current_frames().get(thread)
    while frame is not None:
        module = str(frame.f_globals.get("__name__"))
        if module.split(".")[0] == OURS:
            return inner if module.startswith(f"{CALLERS}.") else None
        inner, frame = frame, frame.f_back
    return None


class CallWatch:
    """How long a thread has been in one call of an environment, as far as it was looked at."""

    def __init__(self, thread: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._thread, self._clock = thread, clock
        self._call: FrameType | None = None
        self._since = 0.0

    def look(self) -> float:
        """Seconds since a look first saw the call that is in progress; 0 if there is none."""
        call = call_in_progress(self._thread)
        if call is None or call is not self._call:
            self._call, self._since = call, self._clock()
        return self._clock() - self._since

    def place(self) -> str | None:
        """`file:line` of the user's code where the thread is."""
        frame = sys._current_frames().get(self._thread)
        return place_of_frames(traceback.walk_stack(frame)) if frame is not None else None
