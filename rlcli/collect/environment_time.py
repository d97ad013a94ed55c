"""Time that a vector environment takes, measured only where a profile is asked for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

METHODS = ("step", "reset", "rolled", "move", "begin", "observed")
"""Methods that are timed; `rolled` has the time of the actor, too, and the last three are on a device."""


class EnvironmentTime:
    """Seconds spent in the methods of one vector environment.

    The methods are replaced on the object itself, so that an environment that is not timed costs nothing. On
    a GPU it is the time until a call returns, which may be before its work is done.
    """

    def __init__(self, env: Any, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._seconds = 0.0
        self._depth = 0
        for name in METHODS:
            if hasattr(env, name):
                setattr(env, name, self._timed(getattr(env, name)))

    def take(self) -> float:
        """The seconds since the last call of this."""
        taken, self._seconds = self._seconds, 0.0
        return taken

    def _timed(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **named: Any) -> Any:
            if self._depth:  # one method calls another
                return method(*arguments, **named)
            self._depth = 1
            begun = self._clock()
            try:
                return method(*arguments, **named)
            finally:
                self._seconds += self._clock() - begun
                self._depth = 0

        return timed
