"""Every way a command can end badly, each with its exit code.

Codes: 0 done, 1 a crash (or a failed job of a sweep), 2 a person's mistake, 3 non-finite numbers,
4 storage, 130 Ctrl-C, 143 SIGTERM.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

EXIT_DONE = 0
EXIT_CRASH = 1
EXIT_USER = 2
EXIT_NONFINITE = 3
EXIT_STORAGE = 4
EXIT_SIGINT = 130
EXIT_SIGTERM = 143


class RlcliError(Exception):
    """An expected failure: shown as one message, without a traceback."""

    exit_code = EXIT_CRASH


class UserError(RlcliError):
    """A person's mistake: what is wrong, the valid choices, the next command to try.

    One `UserError` may carry several faults, so that all of them are shown at once.
    """

    exit_code = EXIT_USER

    def __init__(self, *faults: str, hint: str | None = None) -> None:
        self.faults: tuple[str, ...] = faults
        self.hint = hint
        super().__init__("\n".join(faults if hint is None else (*faults, hint)))


class NonFiniteError(RlcliError):
    """A loss, a parameter, a reward or an observation stopped being a finite number."""

    exit_code = EXIT_NONFINITE


class EnvironmentFault(RlcliError):
    """An environment broke Gymnasium's interface or its own spaces, or raised what would end the process."""


class StorageError(RlcliError):
    """Something could not be written, or what lies on disk is damaged."""

    exit_code = EXIT_STORAGE


def nearest(word: str, choices: Iterable[str], count: int = 3) -> list[str]:
    """The choices most like `word`, best first; empty when none is similar."""
    by_folded = {choice.lower(): choice for choice in choices}
    found = difflib.get_close_matches(word.lower(), by_folded, n=count, cutoff=0.6)
    return [by_folded[name] for name in found]


def unknown(kind: str, word: str, choices: Sequence[str], shown: int = 12) -> str:
    """'Unknown <kind> 'word'. Did you mean 'x'? Choose from: ...' in one line."""
    message = f"Unknown {kind} {word!r}."
    similar = nearest(word, choices)
    if similar:
        message += " Did you mean " + " or ".join(repr(name) for name in similar) + "?"
    if choices and len(choices) <= shown:
        message += " Choose from: " + ", ".join(choices) + "."
    return message
