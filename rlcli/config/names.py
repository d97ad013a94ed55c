"""Names of folders: which may be given, and how one is made of values."""

from __future__ import annotations

import re

LONGEST = 200
"""Bytes of a name in UTF-8; file systems take 255, and a few are left for what is put behind it."""
LAST = "last"
"""The reference to the run or sweep started last, so no name."""


def fault(name: str) -> str | None:
    """What keeps a name from being that of a folder; None when nothing does."""
    if not re.fullmatch(r"\w[\w.+=,@-]*", name):
        return (
            f"name={name!r}: a run's name is that of its folder: letters, digits and _ . - + = , @ only, the "
            "first a letter, a digit or _."
        )
    if len(name.encode(errors="replace")) > LONGEST:
        return f"name={shortened(name, 20)}...: at most {LONGEST} bytes; it is the name of a folder."
    if name == LAST:
        return f"name={LAST}: it means the run or sweep started last; choose another name."
    return None


def shortened(text: str, size: int) -> str:
    """The start of a text, at most `size` bytes of whole UTF-8 characters."""
    return text.encode(errors="replace")[:size].decode(errors="ignore")


def safe(value: str) -> str:
    """A value in a form that is safe in the name of a folder."""
    return re.sub(r"[^\w.+-]+", "-", value).strip("-.") or "none"
