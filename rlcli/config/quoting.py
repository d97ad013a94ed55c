"""Quotes and brackets of overrides: what is unbalanced, and overrides that can be read instead."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

CLOSING = {"(": ")", "[": "]", "{": "}"}
PLAIN = re.compile(r"[\w@%+=:,./-]+", re.ASCII)
"""Words that no shell changes."""

_PAIR, _WITH_COLON = re.compile(r"(?<=[{,])([^:=,{}]+)="), r"\1:"
"""A name and `=` in a mapping, where a colon belongs."""
_CALL = re.compile(r"([A-Za-z_][\w.:]*)\(([^()]*)\)")
"""NAME(argument=value), as in Python."""
_OF_MODULE, _ESCAPED = re.compile(r"({\s*[A-Za-z_][\w.]*):([A-Za-z_]\w*\s*:)"), r"\1\:\2"
"""module:Class as the name in a mapping, where its colon needs a backslash."""


def unbalanced(value: str) -> str | None:
    """What is wrong with the quotes and brackets of a value; None where they are balanced."""
    opened, quote = _opened(value)
    if quote:
        return f"the quote {quote} is not closed"
    for bracket in opened:
        if bracket in CLOSING.values():
            return f"the bracket {bracket} closes nothing"
    return f"the bracket {opened[-1]} is not closed" if opened else None


def closers(value: str) -> str:
    """The quote and the brackets that would close a value."""
    opened, quote = _opened(value)
    return quote + "".join(CLOSING.get(bracket, "") for bracket in reversed(opened))


def _opened(value: str) -> tuple[list[str], str]:
    """Brackets that are not closed, or close nothing, and the quote that is open at the end."""
    opened: list[str] = []
    quote = ""
    escaped = False
    for character in value:
        if escaped or character == "\\":
            escaped = not escaped
        elif quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in CLOSING:
            opened.append(character)
        elif opened and CLOSING.get(opened[-1]) == character:
            opened.pop()
        elif character in CLOSING.values():
            opened.append(character)
    return opened, quote


def hydra_text(text: str) -> str:
    """Text as a quoted string of Hydra's grammar, with quotes that need no escapes if possible."""
    quote = "'" if '"' in text else '"'
    escaped = re.sub(
        rf"(\\*)({quote}|$)", lambda found: found[1] * 2 + ("\\" + quote if found[2] else ""), text
    )
    return f"{quote}{escaped}{quote}"


def shell_word(override: str) -> str:
    """An override as one word of bash and zsh."""
    if PLAIN.fullmatch(override):
        return override
    if "'" in override and "!" not in override:
        return '"' + re.sub(r'(["\\$`])', r"\\\1", override) + '"'
    return shlex.quote(override)


def repairs(override: str, text: bool) -> Iterator[str]:
    """Overrides that may be meant by one that cannot be read, the most probable first.

    `text`: whether the key takes text.
    """
    key, _, value = override.partition("=")
    key, value = key.strip(), value.strip()
    inner = value.removeprefix("[").removesuffix("]")
    if value.startswith("=") or key != override.partition("=")[0]:
        yield f"{key}={value.lstrip('=')}"
    if text and value.startswith("["):
        yield f"{key}=[{','.join(hydra_text(item.strip()) for item in inner.split(','))}]"
    elif text:
        yield f"{key}={hydra_text(value)}"
    yield f"{key}={value}{closers(value)}"
    yield f"{key}=[{inner}]"
    yield f"{key}={_PAIR.sub(_WITH_COLON, value)}"
    yield f"{key}={re.sub(r',+', ',', value).strip(',').replace('[,', '[').replace(',]', ']')}"
    if key == "env.wrappers":
        called = _CALL.sub(lambda found: f"{{{found[1]}: {{{found[2].replace('=', ': ')}}}}}", value)
        yield f"{key}={_OF_MODULE.sub(_ESCAPED, called if called.startswith('[') else f'[{called}]')}"
    if key.startswith("env.kwargs."):
        yield f"{key}={hydra_text(value)}"
