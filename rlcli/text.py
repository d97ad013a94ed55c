"""Text for a terminal, from whoever it comes."""

from __future__ import annotations

import unicodedata

HARMLESS = "\n\t"


def visible(text: str) -> str:
    r"""The text with characters that steer a terminal, or hide others, written as escapes.

    A name read from a file may hold sequences that move the cursor, set the window's title or answer for the
    person at the keyboard; shown as `\x1b` they are only odd.
    """
    return "".join(_escaped(character) for character in text)


def _escaped(character: str) -> str:
    # Cc: control; Cf: overrides of direction, the invisible; Cs: half a character; Zl, Zp: line separators.
    steering = unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")
    if not steering or character in HARMLESS:
        return character
    return character.encode("unicode_escape").decode()
