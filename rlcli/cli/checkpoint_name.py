"""Name of a checkpoint on the command line: last, best, or the number of an update."""

from __future__ import annotations

from typing import Literal

from rlcli.errors import UserError, nearest


def which_checkpoint(flag: str, text: str) -> int | Literal["last", "best"]:
    """The checkpoint that the value of a flag names.

    Raises:
        UserError: it names none.
    """
    if text == "last":
        return "last"
    if text == "best":
        return "best"
    if not (text.isascii() and text.isdecimal()):
        similar = "".join(f" Did you mean {word!r}?" for word in nearest(text, ("last", "best"), 1))
        raise UserError(f"{flag} {text}: give last, best or the number of an update.{similar}")
    return int(text)
