"""A configuration as plain data and as YAML, and back. What is read is data, never code."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Hashable, Iterator, Mapping
from functools import lru_cache
from typing import Any, cast

import yaml

from rlcli.config.schema import DEFAULT, KEYS, RunConfig
from rlcli.config.values import RejectedValue, convert, display
from rlcli.errors import StorageError, UserError, unknown

MOST_FAULTS = 10
"""Faults told of one file; more say no more."""

LARGEST = 1_000_000
"""Characters of a config that is read; real ones have a few thousand."""


_BEFORE = {
    name: key.declaration.absent for name, key in KEYS.items() if key.declaration.absent is not DEFAULT
}
"""Keys whose absence from a file means another value than their default."""


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
    """Read what `to_yaml` wrote; `source` is the file's name in messages.

    Absent keys, which came after the file was written, mean what runs did before there were they: their
    default, or what is declared.

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
    return build(_BEFORE | flat)


def read_mapping(text: str, source: str) -> dict[str, Any]:
    """A YAML mapping of plain data.

    Raises:
        StorageError: it is none: tags, anchors, repeated keys, damage, or more than `LARGEST` characters.
    """
    if len(text) > LARGEST:
        raise StorageError(f"{source}: more than {LARGEST} characters is no configuration.")
    try:
        content = yaml.load(text, Loader=_PlainLoader)  # noqa: S506 (a SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = getattr(error, "problem", None) or str(error) or type(error).__name__
        mark = getattr(error, "problem_mark", None)
        where = f"{source}, line {mark.line + 1}" if mark is not None else source
        raise StorageError(f"{where}: not readable as plain YAML: {reason}.") from None
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise StorageError(f"{source}: a configuration is a mapping of keys, this is not.")
    return content


class _PlainLoader(yaml.SafeLoader):
    """SafeLoader without anchors (which can grow without bound) and repeated keys."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise yaml.constructor.ConstructorError(None, None, "anchors are not allowed", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[Any] = set()
        for key, _ in node.value:
            name = self.construct_object(key, deep=True)
            if not isinstance(name, Hashable) or name in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{str(name)[:40]!r} stands twice, or is no name", key.start_mark
                )
            seen.add(name)
        return super().construct_mapping(node, deep)


class _PlainDumper(yaml.SafeDumper):
    """SafeDumper that quotes whatever `_PlainLoader` would not read as text."""


for _class in (_PlainLoader, _PlainDumper):  # YAML 1.1 reads 1e-3 as text
    _class.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+$"), list("-+0123456789")
    )


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
