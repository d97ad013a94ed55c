"""Safe display of untrusted text on a terminal or in a log: escapes, shortening, exceptions."""

from __future__ import annotations

import shlex
import traceback
import unicodedata
from typing import Any

HARMLESS = "\n\t"
LONGEST = 200
"""Maximum characters shown of an untrusted value."""
LONGEST_MESSAGE = 2_000
"""Maximum characters shown of an exception's message."""


def visible(text: str) -> str:
    r"""The text with characters that control a terminal, or hide others, written as escapes.

    A name read from a file may hold sequences that move the cursor, set the window's title or answer for the
    person at the keyboard; shown as `\x1b` they are harmless.
    """
    return "".join(_escaped(character) for character in text)


def shortened(text: str, longest: int = LONGEST) -> str:
    """The text cut to `longest` characters, with the number of those left out."""
    return text if len(text) <= longest else f"{text[:longest]}... ({len(text) - longest:,} more characters)"


def counted(number: int, noun: str) -> str:
    """A number of things with thousands separators: 1 episode, 1,000 episodes."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def as_typed(value: object) -> str:
    """A path or name as it is typed in a shell: in quotes where it has spaces or other special characters."""
    return shlex.quote(str(value))


def one_line(text: str, longest: int = LONGEST) -> str:
    """Untrusted text on one line, such as a name in a sentence."""
    return visible(shortened(" ".join(text.split()), longest))


def shown(value: Any) -> str:
    """The `repr` of any value on one line, or its type where that fails."""
    try:
        text = repr(value)
    except BaseException:
        text = f"<{type(value).__name__} whose repr fails>"
    return one_line(text)


def message_of(error: BaseException) -> str:
    """The message of any exception, also one whose `__str__` fails."""
    try:
        text = str(error)
    except BaseException:
        text = "<no message: __str__ fails>"
    return visible(shortened(text, LONGEST_MESSAGE))


def brief(error: BaseException) -> str:
    """The message of any exception on one line; its lines stay apart in `trace`."""
    return " ".join(message_of(error).split())


def described(error: BaseException) -> str:
    """Type and message of any exception on one line: `ValueError: no such place`."""
    message = brief(error)
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def trace(error: BaseException) -> str:
    """The traceback of any exception, ending with its type and message."""
    try:
        text = "".join(traceback.format_exception(error)).rstrip()
    except BaseException:
        text = described(error)
    return visible(text)


def _escaped(character: str) -> str:
    # Cc: control; Cf: overrides of direction, the invisible; Cs: half a character; Zl, Zp: line separators.
    steering = unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")
    if not steering or character in HARMLESS:
        return character
    return character.encode("unicode_escape").decode()
