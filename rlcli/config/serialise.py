"""A configuration as plain data and as YAML, and back. What is read is data, never code."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, cast

import yaml

from rlcli.config.plain_yaml import FLOAT, read_mapping
from rlcli.config.schema import KEYS, RunConfig
from rlcli.config.values import RejectedValue, convert, display
from rlcli.errors import UserError, unknown

MOST_FAULTS = 10
"""Faults told of one file; more say no more."""


def to_dict(config: RunConfig) -> dict[str, Any]:
    """Nested plain data: dicts, lists, numbers, text."""
    return cast("dict[str, Any]", _plain(dataclasses.asdict(config)))


def flatten(config: RunConfig) -> dict[str, Any]:
    """Every key by its dotted name, in the order of the schema."""
    return dict(leaves(to_dict(config)))


def leaves(nested: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names and values of nested data; a mapping that is itself a key's value stays whole."""
    for name, value in nested.items():
        dotted = f"{prefix}{name}"
        if dotted not in KEYS and isinstance(value, Mapping):
            yield from leaves(value, f"{dotted}.")
        else:
            yield dotted, value


def build(flat: Mapping[str, Any]) -> RunConfig:
    """The configuration of converted values by dotted name; keys not given have their defaults."""

    def section(cls: Any, prefix: str) -> Any:
        given: dict[str, Any] = {}
        for item in dataclasses.fields(cls):
            dotted = prefix + item.name
            if dotted in KEYS:
                if dotted in flat:
                    given[item.name] = flat[dotted]
            else:
                given[item.name] = section(item.default_factory, f"{dotted}.")
        return cls(**given)

    return cast(RunConfig, section(RunConfig, ""))


def to_yaml(config: RunConfig, comments: Mapping[str, str] | None = None) -> str:
    """YAML that `from_yaml` reads back to an equal configuration; `comments` trail the keys they name."""
    lines: list[str] = []
    opened: str | None = None
    for name, value in flatten(config).items():
        head, _, leaf = name.rpartition(".")
        if head and head != opened:
            lines.append(f"{head}:")
        opened = head
        comment = f"  # {comments[name]}" if comments and name in comments else ""
        lines.append(f"{'  ' if head else ''}{leaf or name}: {_inline(value)}{comment}")
    return "\n".join(lines) + "\n"


def from_yaml(text: str, source: str = "config.yaml") -> RunConfig:
    """Read what `to_yaml` wrote; `source` is the file's name in messages. Absent keys have their defaults.

    Raises:
        StorageError: it is no YAML of plain data, or too large.
        UserError: a key is unknown or a value not admitted; all such faults at once.
    """
    content = read_mapping(text, source)
    faults: list[str] = []
    flat: dict[str, Any] = {}
    for name, value in leaves(content):
        if len(faults) == MOST_FAULTS:
            break
        if name not in KEYS:
            faults.append(f"{source}: " + unknown("key", name, list(KEYS)))
            continue
        try:
            flat[name] = convert(KEYS[name], value)
        except RejectedValue as error:
            faults.append(f"{source}: {name}={display(value)}: {error}.")
    if faults:
        raise UserError(*faults)
    return build(flat)


class _PlainDumper(yaml.SafeDumper):
    """SafeDumper that quotes whatever `PlainLoader` would not read as text."""


_PlainDumper.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("-+0123456789"))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _inline(value: Any) -> str:
    """A value in flow style on one line."""
    return _dumped(value) if isinstance(value, (list, dict)) else _dumped_scalar(value)


@lru_cache(maxsize=4096, typed=True)  # the configs of a sweep have most values in common
def _dumped_scalar(value: Any) -> str:
    return _dumped(value)


def _dumped(value: Any) -> str:
    style = '"' if isinstance(value, str) and "\n" in value else None
    dumped: str = yaml.dump(
        [value],
        Dumper=_PlainDumper,
        default_flow_style=True,
        default_style=style,
        width=10**9,
        allow_unicode=True,
    )
    return dumped.strip()[1:-1]
