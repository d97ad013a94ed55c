"""Bounded YAML reader: every configuration file, trusted or not, is read through this as plain data.

Bounds limit the characters, the digits of a number, the nesting of collections, and the number of
values once every alias is written out. Tags are refused, so what is read is text, numbers, switches, null,
dates, lists and mappings.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from rlcli.errors import StorageError
from rlcli.plain import open_linked

LARGEST = 300_000
"""Characters of a configuration; real ones have a few thousand."""
DEEPEST = 24
"""Collections within each other."""
MOST = 10_000
"""Maximum number of values in one file, with aliases written out."""
LONGEST_NUMBER = 1000
"""Characters of a number."""
FLOAT = re.compile(r"^[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+$")
"""YAML 1.1 reads 1e-3 as text."""


class BoundedLoader(yaml.SafeLoader):
    """SafeLoader within bounds, without repeated keys."""

    aliases = True
    """Whether anchors may be used."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = 0
        self._values = 0
        self._sizes: dict[int, int] = {}
        """Of anchored nodes: how many values they are."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """The next node of the document; raises `ConstructorError` where a bound is passed."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        anchor = getattr(event, "anchor", None)
        if anchor is not None and not self.aliases:
            raise _fault("anchors are not allowed", event)
        if isinstance(event, yaml.AliasEvent):
            node = super().compose_node(parent, index)
            if id(node) not in self._sizes:
                raise _fault(f"the alias {anchor!r} refers to itself", event)
            self._count(self._sizes[id(node)], event)
            return node
        self._depth += 1
        if self._depth > DEEPEST:
            raise _fault(f"nested deeper than {DEEPEST} levels", event)
        before = self._values
        self._count(1, event)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if anchor is not None:
            self._sizes[id(node)] = self._values - before
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        """A mapping; raises `ConstructorError` where a key is repeated."""
        names: set[Any] = set()
        for key, _ in node.value:
            name = self.construct_object(key, deep=True) if key.tag != "tag:yaml.org,2002:merge" else key
            if not isinstance(name, Hashable) or name in names:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{str(name)[:40]!r} occurs twice, or is not a name", key.start_mark
                )
            names.add(name)
        return super().construct_mapping(node, deep)

    def construct_number(self, node: Any) -> Any:
        """A number; raises `ConstructorError` where it has so many digits that reading takes long."""
        if len(str(node.value)) > LONGEST_NUMBER:
            raise yaml.constructor.ConstructorError(None, None, "a number is too long", node.start_mark)
        return yaml.SafeLoader.yaml_constructors[node.tag](self, node)

    def _count(self, values: int, event: Any) -> None:
        self._values += values
        if self._values > MOST:
            raise _fault(f"more than {MOST:,} values", event)


class PlainLoader(BoundedLoader):
    """Without anchors: nothing that rlcli writes has any."""

    aliases = False


for _kind in ("int", "float"):
    BoundedLoader.add_constructor(f"tag:yaml.org,2002:{_kind}", BoundedLoader.construct_number)
BoundedLoader.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("-+0123456789"))


def _fault(problem: str, event: Any) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, problem, event.start_mark)


def read_mapping(text: str, source: str, *, aliases: bool = False) -> dict[str, Any]:
    """A YAML mapping of plain data.

    Raises:
        StorageError: it is none: tags, repeated keys, damage, anchors unless `aliases`, or out of bounds.
    """
    content = load(text, source, aliases=aliases)
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise StorageError(f"{source}: a configuration is a mapping of keys, this is not.")
    return content


def load(text: str, source: str, *, aliases: bool = False) -> Any:
    """The plain data in a YAML document; see `read_mapping`."""
    if len(text) > LARGEST:
        raise StorageError(f"{source}: more than {LARGEST} characters is not a configuration.")
    try:
        return yaml.load(text, Loader=BoundedLoader if aliases else PlainLoader)  # noqa: S506 (a SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = getattr(error, "problem", None) or str(error) or type(error).__name__
        mark = getattr(error, "problem_mark", None)
        where = f"{source}, line {mark.line + 1}" if mark is not None else source
        raise StorageError(f"{where}: not readable as plain YAML: {reason}.") from None


def read_yaml(path: Path) -> tuple[str, Any]:
    """Text and plain data of a config file of the user's.

    Raises:
        StorageError: it is missing, no plain file, no UTF-8, or as `load`.
    """
    try:
        with open_linked(path) as file:
            text = file.read(4 * LARGEST + 1).decode()
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror or error}.") from error
    except UnicodeDecodeError:
        raise StorageError(f"{path}: this is not UTF-8 text.") from None
    return text, load(text, str(path), aliases=True)
