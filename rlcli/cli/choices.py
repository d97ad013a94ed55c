"""Messages about flags and arguments that a verb does not take: what was expected, and the nearest match."""

from __future__ import annotations

import inspect
import re
import typing
from enum import Enum
from typing import Any

from rlcli.errors import nearest, unknown

REFUSED = re.compile(r"'(?P<word>.*)' is not one of", re.DOTALL)
"""Typer's message for a value that is none of the choices."""
EXAMPLE = re.compile(r"^ *Examples:\n +(rlcli .*)$", re.MULTILINE)
"""First example in the help of a verb."""
EXPECTED = {"int_parsing": "a whole number", "int_from_float": "a whole number", "float_parsing": "a number"}
"""What is expected, by pydantic's name of the error; Typer converts values with it."""
COMPARED = {
    "greater_than_equal": ("ge", ">="),
    "greater_than": ("gt", ">"),
    "less_than_equal": ("le", "<="),
    "less_than": ("lt", "<"),
}
"""Limit that a number violates, by pydantic's name of the error: its field, and its sign."""


def choices(command: Any) -> dict[str, list[str]]:
    """By parameter of a verb whose type is an enumeration: its values."""
    hints = typing.get_type_hints(inspect.unwrap(command.callback))
    found: dict[str, list[str]] = {}
    for name, hint in hints.items():
        for part in (hint, *typing.get_args(hint)):
            if isinstance(part, type) and issubclass(part, Enum):
                found[name] = [str(member.value) for member in part]
    return found


def explain(error: Any, command: Any) -> None:
    """Completes Typer's message about the words of a verb, in place.

    It gains the nearest choice or flag, the value that is not a number, what a flag takes, or an example.
    """
    for complete in (_refused, _number, _no_value, _no_such_flag, _missing):
        complete(error, command)


def _refused(error: Any, command: Any) -> None:
    """A value that is none of the choices: names the nearest of them."""
    name = getattr(getattr(error, "param", None), "name", None)
    refused = REFUSED.search(str(getattr(error, "message", "")))
    if name is None or refused is None:
        return
    valid = choices(command).get(name)
    if valid:
        error.message = unknown("value", refused["word"], valid)


def _number(error: Any, command: Any) -> None:  # noqa: ARG001 (one signature for all)
    """A value that is not a number, or out of range: names the value and what is expected."""
    found: list[dict[str, Any]] = getattr(error.__cause__, "errors", list)()
    if len(found) != 1:
        return
    kind, value, limits = found[0]["type"], found[0]["input"], found[0].get("ctx", {})
    if kind in EXPECTED:
        error.message = f"{value!r} is not {EXPECTED[kind]}."
    elif kind in COMPARED:
        field, sign = COMPARED[kind]
        error.message = f"must be {sign} {limits[field]}, not {value}."


def _no_value(error: Any, command: Any) -> None:
    """A flag without its value: shows what it takes."""
    flag = getattr(error, "option_name", None)
    if flag is None or "requires an argument" not in str(getattr(error, "message", "")):
        return
    for option in command.params:
        if flag in option.opts:
            valid = choices(command).get(option.name)
            written = f"Write {flag} {option.metavar or 'VALUE'}"
            takes = f"Choose from: {', '.join(valid)}" if valid else written
            error.message = f"Option '{flag}' needs a value. {takes}."


def _no_such_flag(error: Any, command: Any) -> None:
    """An unknown flag that resembles others: names them."""
    if not getattr(error, "possibilities", None):
        return
    flags = [flag[2:] for option in command.params for flag in option.opts if flag.startswith("--")]
    similar = [f"--{flag}" for flag in nearest(error.option_name[2:], flags)] or error.possibilities
    error.message += ". Did you mean " + " or ".join(repr(flag) for flag in similar) + "?"
    error.possibilities = None


def _missing(error: Any, command: Any) -> None:
    """A missing argument: shows its choices, and the first example of the verb's help."""
    param = getattr(error, "param", None)
    if not hasattr(error, "param_type") or param is None:
        return
    valid = choices(command).get(param.name)
    example = EXAMPLE.search(command.help or "")
    texts = [f"Choose from: {', '.join(valid)}."] if valid else []
    error.message = " ".join([*texts, f"Example: {example[1]}"] if example else texts)
    error.param_hint, error.param_type, error.param = param.get_error_hint(), param.param_type_name, None
