"""Parser of one override by Hydra's grammar, and writer of values in it.

Hydra reads `1e3` as a number and `on` as text, whatever the key. Here the key decides: where it takes text,
numbers and switches stay the characters that were typed. Text is quoted where Hydra would read it
otherwise, so that Hydra composes the same from it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from antlr4 import CommonTokenStream, InputStream
from hydra._internal.grammar.utils import escape_special_characters
from hydra.core.override_parser.overrides_parser import create_functions
from hydra.core.override_parser.overrides_visitor import HydraErrorListener, HydraOverrideVisitor
from hydra.core.override_parser.types import (
    Glob,
    IntervalSweep,
    Override,
    OverrideType,
    Quote,
    QuotedString,
    ValueType,
)
from hydra.errors import HydraException
from hydra.grammar.gen.OverrideLexer import OverrideLexer
from hydra.grammar.gen.OverrideParser import OverrideParser

from rlcli.config.quoting import unbalanced
from rlcli.config.setting import Element, Interval
from rlcli.errors import UserError, nearest

SWEEPS = {
    ValueType.ELEMENT: "single",
    ValueType.CHOICE_SWEEP: "choice",
    ValueType.SIMPLE_CHOICE_SWEEP: "choice",
    ValueType.GLOB_CHOICE_SWEEP: "glob",
    ValueType.RANGE_SWEEP: "range",
    ValueType.INTERVAL_SWEEP: "interval",
}
PREFIXES = {
    OverrideType.ADD: "+",
    OverrideType.FORCE_ADD: "++",
    OverrideType.DEL: "~",
    OverrideType.CHANGE: "",
}
OF_NUMBERS = ("range", "interval")
"""Functions whose arguments are numbers, whatever the key takes."""
NUMBERS_AND_SWITCHES = (OverrideLexer.INT, OverrideLexer.FLOAT, OverrideLexer.BOOL, OverrideLexer.NULL)
STRUCTURE = re.compile(r"[,()\[\]{}'\"\\]|\$\{")
"""Characters with a meaning in Hydra's grammar anywhere in a value."""


@dataclass(frozen=True)
class Parsed:
    """One override as Hydra's grammar reads it."""

    text: str
    prefix: str
    key: str
    package: str | None
    sweep: str
    """single, choice, range, glob or interval."""
    values: tuple[Element, ...]
    """Each value; the two ends of an interval."""
    interval: Interval | None = None


def parse(
    text: str,
    choices_of: Callable[[str], Sequence[str]] = lambda _: (),
    takes_text: Callable[[str], bool] = lambda _: False,
) -> Parsed:
    """One override.

    `choices_of(group)` gives what a glob is matched against. Where `takes_text(key)`, what would be a number
    or a switch is text as typed; null is null, and text of this word is written in quotes.

    Raises:
        UserError: Hydra's grammar does not read it.
    """
    try:
        override = _override(text, takes_text)
        verbatim = takes_text(override.key_or_group)
        values = tuple(_values(override, choices_of, verbatim))
    except (HydraException, ValueError, TypeError, ArithmeticError) as error:
        raise UserError(_unreadable(text, error)) from None
    return Parsed(
        text=text,
        prefix=PREFIXES[override.type],
        key=override.key_or_group,
        package=override.package,
        sweep="single" if override.value_type is None else SWEEPS[override.value_type],
        values=values,
        interval=_interval(override),
    )


def quoted(text: str) -> str:
    """Text as a quoted string in Hydra's grammar."""
    return QuotedString(text, Quote.single).with_quotes()


def spelled(value: Any) -> str:
    """Plain data in Hydra's grammar, which reads it back as it is."""
    if isinstance(value, str):
        return _word(value)
    if isinstance(value, Mapping):
        pairs = (f"{escape_special_characters(str(name))}:{spelled(item)}" for name, item in value.items())
        return "{" + ",".join(pairs) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(spelled, value)) + "]"
    return "null" if value is None else str(value)


def _word(text: str) -> str:
    """Text as it is where Hydra reads it so, else in quotes."""
    lexer = OverrideLexer(InputStream(text))
    lexer.removeErrorListeners()
    lexer.mode(OverrideLexer.VALUE_MODE)
    kinds = [token.type for token in lexer.getAllTokens()]
    plain = re.fullmatch(r"[\w/+.$%*@?|:-]+", text, re.ASCII) is not None
    alone = len(kinds) == 1 and kinds[0] in NUMBERS_AND_SWITCHES
    return text if plain and not alone else quoted(text)


class _Visitor(HydraOverrideVisitor):
    """Hydra's visitor of the grammar, which keeps text as it was typed where the key takes text."""

    def __init__(self, takes_text: Callable[[str], bool]) -> None:
        super().__init__(_functions())
        self._takes_text, self._key = takes_text, ""

    def visitKey(self, ctx: Any) -> Any:
        key = super().visitKey(ctx)
        self._key = key.key_or_group
        return key

    def visitDictKeyValuePair(self, ctx: Any) -> Any:
        name = ctx.getChild(0).getText().strip()
        return self._within(f"{self._key}.{name}", super().visitDictKeyValuePair, ctx)

    def visitFunction(self, ctx: Any) -> Any:
        numbers = ctx.getChild(0).getText() in OF_NUMBERS
        return self._within("" if numbers else self._key, super().visitFunction, ctx)

    def visitPrimitive(self, ctx: Any) -> Any:
        value = super().visitPrimitive(ctx)
        verbatim = isinstance(value, (bool, int, float)) and self._takes_text(self._key)
        return ctx.getText().strip() if verbatim else value

    def _within(self, key: str, visit: Callable[[Any], Any], ctx: Any) -> Any:
        outer, self._key = self._key, key
        try:
            return visit(ctx)
        finally:
            self._key = outer


@cache
def _functions() -> Any:
    return create_functions()


def _override(text: str, takes_text: Callable[[str], bool]) -> Override:
    """As Hydra's parser reads it; text without structure is read even with characters the grammar lacks."""
    try:
        return _parsed(text, takes_text)
    except HydraException:
        head, _, value = text.partition("=")
        if not takes_text(head.lstrip("+")) or STRUCTURE.search(value):
            raise
        return _parsed(f"{head}={quoted(value.strip())}", takes_text)


def _parsed(text: str, takes_text: Callable[[str], bool]) -> Override:
    listener = HydraErrorListener()
    lexer = OverrideLexer(InputStream(text))
    parser = OverrideParser(CommonTokenStream(lexer))
    for one in (lexer, parser):
        one.removeErrorListeners()
        one.addErrorListener(listener)
    override: Override = _Visitor(takes_text).visit(parser.override())  # type: ignore[no-untyped-call]
    override.input_line = text
    override.validate()
    return override


def _values(
    override: Override, choices_of: Callable[[str], Sequence[str]], verbatim: bool
) -> Iterator[Element]:
    if override.value_type is None:
        return
    if (interval := _interval(override)) is not None:
        yield from (Element(repr(end), end) for end in (interval.low, interval.high))
        return
    if not override.is_sweep_override():
        value = override.value()
        raw = str(override.input_line).partition("=")[2]
        interpolated = isinstance(value, str) and "${" in value
        yield Element(spelled(value) if verbatim and not interpolated else raw, value)
        return
    glob: Any = override._value
    if isinstance(glob, Glob):
        yield from (Element(name, name) for name in glob.filter(list(choices_of(override.key_or_group))))
        return
    # One pass, since a shuffled sweep has another order each time.
    elements: Iterator[Any] = override.sweep_iterator()
    for element in elements:
        value = Override._convert_value(element)
        if isinstance(value, str) and "${" in value:  # Hydra's text of it would be escaped
            yield Element(value, value)
        else:
            yield Element(spelled(value) if verbatim else Override._get_value_element_as_str(element), value)


def _interval(override: Override) -> Interval | None:
    """The interval that an override gives as its value."""
    value: Any = override._value
    if not isinstance(value, IntervalSweep):
        return None
    low: Any = value.start
    high: Any = value.end
    return Interval(low, high, "log" in value.tags, isinstance(low, int) and isinstance(high, int))


def _unreadable(text: str, error: Exception) -> str:
    key, separator, value = text.partition("=")
    if not separator:
        return f"{text!r} is not a setting: write key=value, such as algo.clip=0.1."
    cause = _cause(key, value, error)
    return f"Cannot read the override {text!r}: {cause}{'' if cause.endswith('?') else '.'}"


def _cause(key: str, value: str, error: Exception) -> str:
    """Why Hydra's grammar does not read an override; its own parser has no message for most causes."""
    lines = str(error).splitlines() or [""]
    message = (lines[0].partition(": ")[2] or lines[0]) if isinstance(error, HydraException) else str(error)
    function = re.match(r"Unknown function '(\w+)'", message)
    character = re.fullmatch(r"'(.)[^ ]*'|.* input '[^']*(.)'.*", message)
    several = re.search(r"\s([\w.]+)=", value)
    if function:
        similar = nearest(function[1], _functions().functions, count=1)
        return f"there is no function {function[1]}()" + "".join(
            f"; did you mean {one}()?" for one in similar
        )
    if (wrong := unbalanced(value)) is not None:
        return wrong
    if several:
        return f"{several[1]}=... is another setting; give each as a separate word, in its own quotes"
    if re.search(r"(^|[,\[({])\s*,|,\s*($|[\])}])", value):
        return "there is nothing beside a comma"
    if not re.fullmatch(r"[\w@:./-]+", key.lstrip("+~")):
        return f"{key!r} is not a key: rlcli explain lists all keys"
    if character:
        return f"the character {character[1] or character[2]} needs quotes here"
    return "its value has no form that is known" if message in ("", "None") else message


def reason(error: BaseException) -> str:
    """The innermost cause in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return "; ".join(lines[:2]) if lines else type(error).__name__
