"""Callback of a Python program, called with each row of a run between updates; it may end the run."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, Final

from rlcli.envs.untrusted import contained
from rlcli.errors import UserError
from rlcli.text import visible

LONGEST_REASON = 4000
"""Characters of a reason in manifest.json."""


class Action(Enum):
    """What a callback may return."""

    STOP = "stop"


STOP: Final = Action.STOP
"""Return value of `on_row` that ends the run after this update."""


class StopTraining(Exception):
    """Raised by `on_row` to end the run after this update; its text is recorded as the reason."""


OnRow = Callable[[dict[str, Any]], Action | None]
"""Called with each row as metrics.jsonl will have it."""


class RowCallback:
    """A program's `on_row` as the training loop calls it."""

    def __init__(self, function: OnRow) -> None:
        self._function = function
        self._raised: BaseException | None = None

    def stop_reason(self, row: dict[str, Any]) -> str | None:
        """The reason for which the run ends after this update; None if it continues.

        The function gets a copy of the row: it cannot change what is recorded. Its exception is kept,
        to be raised once the update is recorded and saved.
        """
        copied = {name: list(value) if isinstance(value, list) else value for name, value in row.items()}
        try:
            answer = self._function(copied)
            if answer not in (STOP, None):
                raise UserError(
                    f"on_row returned {answer!r:.80}: return rlcli.STOP to end the run, else nothing."
                )
        except StopTraining as stop:
            text = visible(str(stop)[:LONGEST_REASON])
            return f"on_row: {text}" if text else "on_row raised StopTraining"
        except BaseException as error:
            if not isinstance(error, Exception):
                contained(error, "on_row")  # raises a Ctrl-C
            self._raised = error
            return None
        return None if answer is None else "on_row returned STOP"

    def fail_run(self) -> None:
        """Raises what the function raised as an exception that ends its run; an attempt to exit, too."""
        if isinstance(self._raised, Exception):
            raise self._raised
        if self._raised is not None:
            raise contained(self._raised, "on_row")

    def raise_error(self) -> None:
        """Raises what the function raised, if it did."""
        if self._raised is not None:
            raise self._raised
