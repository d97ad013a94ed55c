"""Errors of rlcli and the exit codes of its commands.

Codes: 0 success, 1 a crash (or a failed job of a sweep), 2 a user error, 3 non-finite numbers, 4 storage,
130 Ctrl-C, 143 SIGTERM.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence

EXIT_DONE = 0
EXIT_CRASH = 1
EXIT_USER = 2
EXIT_NONFINITE = 3
EXIT_STORAGE = 4
EXIT_SIGINT = 130
EXIT_SIGTERM = 143
LEAF = re.compile(r"[./]")
"""What separates the parts of a key (`algo.clip`) and of a metric (`behaviour/ess`)."""


class RlcliError(Exception):
    """Base class of expected failures: shown as one message, without a traceback."""

    exit_code = EXIT_CRASH


class UserError(RlcliError):
    """Mistake of the user: what is wrong, the valid choices, the next command to try.

    One `UserError` may carry several faults, so that all of them are shown at once.
    """

    exit_code = EXIT_USER

    def __init__(self, *faults: str, hint: str | None = None) -> None:
        self.faults: tuple[str, ...] = faults
        self.hint = hint
        super().__init__("\n".join(faults if hint is None else (*faults, hint)))


class NonFiniteError(RlcliError):
    """A loss, a parameter, a reward or an observation is not a finite number."""

    exit_code = EXIT_NONFINITE


class EnvironmentFault(RlcliError):
    """Violation of Gymnasium's interface or of its own spaces by an environment, or its attempt to exit."""


class StorageError(RlcliError):
    """A file could not be read or written, or is damaged."""

    exit_code = EXIT_STORAGE


def nearest(word: str, choices: Iterable[str], count: int = 3) -> list[str]:
    """The choices most similar to `word`, best first; empty when none is similar.

    Where no whole name is similar, last parts of names are compared: `clipp` means `algo.clip`.
    """
    by_folded: dict[str, list[str]] = {choice.lower(): [choice] for choice in choices}
    by_leaf: dict[str, list[str]] = {}
    for folded, names in by_folded.items():
        by_leaf.setdefault(LEAF.split(folded)[-1], []).extend(names)
    for named in (by_folded, by_leaf):
        found = difflib.get_close_matches(word.lower(), named, n=count, cutoff=0.6)
        if found:
            return [name for one in found for name in named[one]][:count]
    return []


def unknown(
    kind: str, word: str, choices: Sequence[str], shown: int = 12, written: Callable[[str], str] = str
) -> str:
    """'Unknown <kind> 'word'. Did you mean 'x'? Choose from: ...' in one line.

    `written` gives the form in which a similar choice is to be typed.
    """
    message = f"Unknown {kind} {word!r}."
    similar = nearest(word, choices)
    if similar:
        message += " Did you mean " + " or ".join(repr(written(name)) for name in similar) + "?"
    if choices and len(choices) <= shown:
        message += " Choose from: " + ", ".join(choices) + "."
    return message
