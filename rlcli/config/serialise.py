"""A configuration as plain data and as YAML, and back. What is read is data, never code."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from operator import attrgetter
from typing import Any, cast

import yaml

from rlcli.config.declaration import DEFAULT
from rlcli.config.extensions import OPEN, is_chosen, owner
from rlcli.config.plain_yaml import FLOAT, LARGEST, load, read_mapping
from rlcli.config.schema.keys import FIELDS, KEYS, OWN
from rlcli.config.schema.run import RunConfig
from rlcli.config.values import RejectedValue, convert, display
from rlcli.errors import StorageError, UserError, unknown

MOST_FAULTS = 10
"""Maximum number of faults shown of one file."""

NAME = re.compile(r"[A-Za-z_]\w{0,99}", re.ASCII)
"""Names that a module may register."""
INDENT = "  "
SHORT = 200
"""Characters of a value that is kept in memory once read."""


_BEFORE = {
    name: key.declaration.absent for name, key in KEYS.items() if key.declaration.absent is not DEFAULT
}
"""Keys whose absence from a file means another value than their default."""


def to_dict(config: RunConfig) -> dict[str, Any]:
    """Nested plain data: dicts, lists, numbers, text."""
    nested = cast("dict[str, Any]", _plain(dataclasses.asdict(config)))
    for name, value in nested.pop(OWN).items():
        head, _, leaf = name.rpartition(".")
        nested.setdefault(head, {})[leaf] = value
    return nested


def flatten(config: RunConfig) -> dict[str, Any]:
    """Every key by its dotted name, in the order of the schema, as plain data; own keys end their section."""
    flat = {name: _plain(value_of(config)) for name, value_of in _GETTERS.items()}
    return dict(_with_own(flat, config.own)) if config.own else flat


def _with_own(flat: Mapping[str, Any], own: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Keys and values, those of the user's own code behind the others of their section.

    A section that a file opened twice would be the latter alone.
    """
    last = {name.partition(".")[0]: name for name in flat}
    for name, value in flat.items():
        yield name, value
        section = name.partition(".")[0]
        if last[section] == name:
            yield from ((one, _plain(given)) for one, given in own.items() if one.startswith(f"{section}."))


def leaves(nested: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names and values of nested data; a mapping that is itself a key's value stays whole."""
    for name, value in nested.items():
        dotted = f"{prefix}{name}"
        if dotted not in KEYS and isinstance(value, Mapping):
            yield from leaves(value, f"{dotted}.")
        else:
            yield dotted, value


def build(flat: Mapping[str, Any]) -> RunConfig:
    """The configuration of converted values by dotted name; keys not given have their defaults.

    Of the keys of the user's own code, those stay whose network or algorithm is chosen.
    """

    def section(cls: Any, prefix: str) -> Any:
        given: dict[str, Any] = {}
        for item in dataclasses.fields(cls):
            dotted = prefix + item.name
            if dotted in _GETTERS:
                if dotted in flat:
                    given[item.name] = flat[dotted]
            elif dotted == OWN:
                given[OWN] = {name: flat[name] for name in flat if owner(name) and is_chosen(name, flat)}
            else:
                given[item.name] = section(item.default_factory, f"{dotted}.")
        return cls(**given)

    return cast(RunConfig, section(RunConfig, ""))


def to_yaml(config: RunConfig, comments: Mapping[str, str] | None = None) -> str:
    """YAML that `from_yaml` reads back to an equal configuration; `comments` trail the keys they name."""
    lines: list[str] = []
    opened: list[str] = []
    for name, value in flatten(config).items():
        *sections, leaf = name.split(".")
        for depth in range(len(sections)):
            if sections[: depth + 1] != opened[: depth + 1]:
                lines.append(f"{INDENT * depth}{sections[depth]}:")
        opened = sections
        comment = f"  # {comments[name]}" if comments and name in comments else ""
        lines.append(f"{INDENT * len(sections)}{leaf}: {_inline(value)}{comment}")
    return "\n".join(lines) + "\n"


def from_yaml(text: str, source: str = "config.yaml") -> RunConfig:
    """Read what `to_yaml` wrote; `source` is the file's name in messages.

    Absent keys, which came after the file was written, mean what runs did before there were they: their
    default, or what is declared.

    Text that is exactly what `to_yaml` writes is read line by line, in a tenth of the time.

    Raises:
        StorageError: it is no YAML of plain data, or too large.
        UserError: a key is unknown or a value not admitted; all such faults at once.
    """
    written = _as_written(text)
    if written is not None:
        return written
    content = read_mapping(text, source)
    imports = bool(content.get("imports"))
    faults: list[str] = []
    flat: dict[str, Any] = {}
    for name, value in leaves(content):
        if len(faults) == MOST_FAULTS:
            break
        if name not in KEYS and imports and owner(name):
            flat[name] = value  # of a module that is not loaded, and may never be
            continue
        if name not in KEYS:
            faults.append(f"{source}: " + unknown("key", name, list(KEYS)))
            continue
        try:
            is_open = imports and name in OPEN and isinstance(value, str) and NAME.fullmatch(value)
            flat[name] = value if is_open else convert(KEYS[name], value)
        except RejectedValue as error:
            faults.append(f"{source}: {name}={display(value)}: {error}.")
    if faults:
        raise UserError(*faults)
    return build(_BEFORE | flat)


def _as_written(text: str) -> RunConfig | None:
    """The config whose `to_yaml` is this very text; None when there is none, or it has to be read as YAML."""
    flat: dict[str, Any] = {}
    sections: list[str] = []
    try:
        for line in text[:LARGEST].split("\n")[:-1]:
            name, separator, value = line.partition(": ")
            leaf = name.lstrip(" ")
            inside = sections[: (len(name) - len(leaf)) // len(INDENT)]
            if not separator:
                sections = [*inside, leaf.removesuffix(":")]
                continue
            dotted = ".".join((*inside, leaf))
            own = len(value) > SHORT or KEYS[dotted].is_mapping or KEYS[dotted].takes_calls
            flat[dotted] = _value(dotted, value) if own else _shared(dotted, value)
        config = build(flat)
    except (StorageError, ValueError, KeyError):
        return None
    return config if to_yaml(config) == text else None


class _PlainDumper(yaml.SafeDumper):
    """SafeDumper that quotes whatever `PlainLoader` would not read as text."""


_PlainDumper.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("-+0123456789"))


@lru_cache(maxsize=4096)  # the configs of a sweep have most values in common
def _shared(name: str, text: str) -> Any:
    return _value(name, text)


def _value(name: str, text: str) -> Any:
    """The value of a key from its YAML on one line."""
    return convert(KEYS[name], load(text, name))


_GETTERS = {name: attrgetter(name) for name in FIELDS}


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _inline(value: Any) -> str:
    """A value in flow style on one line."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return _dumped_texts(tuple(value))
    return _dumped(value) if isinstance(value, (list, dict)) else _dumped_scalar(value)


@lru_cache(maxsize=4096, typed=True)
def _dumped_scalar(value: Any) -> str:
    return _dumped(value)


@lru_cache(maxsize=1024)
def _dumped_texts(texts: tuple[str, ...]) -> str:
    return _dumped(list(texts))


def _dumped(value: Any) -> str:
    style = '"' if isinstance(value, str) and "\n" in value else None
    if value in ({}, []):
        return "{}" if value == {} else "[]"
    dumped: str = yaml.dump(
        [value],
        Dumper=_PlainDumper,
        default_flow_style=True,
        default_style=style,
        width=10**9,
        allow_unicode=True,
    )
    return dumped.strip()[1:-1]
