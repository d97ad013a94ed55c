"""Choices of flags and arguments of verbs, and the message for a value that is none of them."""

from __future__ import annotations

import inspect
import re
import typing
from enum import Enum
from typing import Any

from rlcli.errors import unknown

REFUSED = re.compile(r"'(?P<word>.*)' is not one of", re.DOTALL)
"""Typer's message for a value that is none of the choices."""


def choices(command: Any) -> dict[str, list[str]]:
    """By parameter of a verb whose type is an enumeration: its values."""
    hints = typing.get_type_hints(inspect.unwrap(command.callback))
    found: dict[str, list[str]] = {}
    for name, hint in hints.items():
        for part in (hint, *typing.get_args(hint)):
            if isinstance(part, type) and issubclass(part, Enum):
                found[name] = [str(member.value) for member in part]
    return found


def name_nearest(error: Any, command: Any) -> None:
    """Replaces Typer's message for a value that is none of the choices by one with the nearest of them."""
    name = getattr(getattr(error, "param", None), "name", None)
    refused = REFUSED.search(str(getattr(error, "message", "")))
    if name is None or refused is None:
        return
    valid = choices(command).get(name)
    if valid:
        error.message = unknown("value", refused["word"], valid)
