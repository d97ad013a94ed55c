"""One value against the declaration of its key: type, null, choices, range."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rlcli.config.schema.keys import Key
from rlcli.errors import nearest

SMALLEST, LARGEST = 2.0**-126, (2.0 - 2.0**-23) * 2.0**127
"""Sizes float32 has, in which networks compute: smaller ones lose digits or are 0, larger are infinite."""
DEEPEST = 8
"""Mappings and lists within each other in one value."""


class RejectedValue(ValueError):
    """The value is not one the key admits; the message says what would be."""


def convert(key: Key, value: Any) -> Any:
    """The value as the schema holds it.

    Whole floats are taken as ints (`total_steps=1e6`), a scalar for a list of one (`logger=jsonl`), a number
    for text (`name=12`); nothing else is converted.

    Raises:
        RejectedValue: it has the wrong type, or lies outside the declared range.
    """
    if value is None:
        if key.optional:
            return None
        raise RejectedValue("must not be null" + (", an empty list is []" if key.is_list else ""))
    if key.is_mapping:
        return _mapping(value)
    if key.is_list:
        items = value if isinstance(value, (list, tuple)) else [value]
        return tuple(_call(item) if key.takes_calls else _scalar(key, item) for item in items)
    return _scalar(key, value)


def display(value: Any) -> str:
    """A value as a person types it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(display(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{name}:{display(item)}" for name, item in value.items()) + "}"
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)


def _mapping(value: Any, depth: int = 0) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise RejectedValue("expected a mapping such as {g:9.8}")
    if depth > DEEPEST:
        raise RejectedValue(f"nested deeper than {DEEPEST} levels")
    return {name: _data(item, depth + 1) for name, item in value.items() if _named(name)}


def _call(value: Any) -> str | dict[str, Any]:
    """A name, or a mapping from one name to its arguments."""
    if isinstance(value, str) and value:
        return value
    if not isinstance(value, Mapping) or len(value) != 1:
        raise RejectedValue("each is a name, or one name with its arguments: {NAME: {argument: value}}")
    [(name, arguments)] = _mapping(value).items()
    if not arguments and arguments in (None, {}):
        return name
    if not isinstance(arguments, dict):
        raise RejectedValue(f"the arguments of {name} have names: {{{name}: {{argument: {arguments}}}}}")
    return {name: arguments}


def _named(name: Any) -> bool:
    if not isinstance(name, str):
        raise RejectedValue(f"the names in it must be text, {name!r} is not")
    return True


def _data(value: Any, depth: int) -> Any:
    if isinstance(value, Mapping):
        return _mapping(value, depth)
    if isinstance(value, (list, tuple)):
        if depth > DEEPEST:
            raise RejectedValue(f"nested deeper than {DEEPEST} levels")
        return [_data(item, depth + 1) for item in value]
    if value is not None and not isinstance(value, (bool, int, float, str)):
        raise RejectedValue(f"{value!r} in it is not plain data")
    return value


def _scalar(key: Key, value: Any) -> Any:
    if isinstance(value, (list, tuple, Mapping)):
        raise RejectedValue(f"expected {_NAMES[key.scalar_type]}, one value")
    words = key.declaration.words
    if words and isinstance(value, str):
        return _word(words, value)
    converted = _CONVERTERS[key.scalar_type](value)
    if isinstance(converted, (int, float)) and not key.declaration.admits(converted):
        raise RejectedValue(f"must be {key.declaration.bounds()}")
    choices, prefix = key.declaration.choices, key.declaration.prefix
    named = bool(prefix) and str(converted).startswith(prefix) and converted != prefix
    if choices is not None and converted not in choices and not named:
        shown = key.declaration.written_choices or ()
        raise RejectedValue(f"choose from {', '.join(shown)}{_guess(str(converted), shown)}")
    return converted


def _word(words: Sequence[str], value: str) -> str:
    if value not in words:
        raise RejectedValue(f"expected {_NAMES[float]} or {' or '.join(words)}{_guess(value, words)}")
    return value


def _guess(value: str, choices: Sequence[str]) -> str:
    similar = nearest(value, choices, count=1)
    return f" (did you mean {similar[0]!r}?)" if similar else ""


def _integer(value: Any) -> int:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise RejectedValue(f"expected {_NAMES[int]}")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise RejectedValue(f"expected {_NAMES[float]}")
    try:
        number = float(value)
    except OverflowError:
        raise RejectedValue("is too large") from None
    if not math.isfinite(number):
        raise RejectedValue("must be finite")
    if number and not SMALLEST <= abs(number) <= LARGEST:
        raise RejectedValue(
            f"must be 0 or of a size between {SMALLEST:.2g} and {LARGEST:.2g}, as float32 has"
        )
    return number


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise RejectedValue(f"expected {_NAMES[bool]}")
    return value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else display(value)


_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
_CONVERTERS = {int: _integer, float: _number, bool: _switch, str: _text}
