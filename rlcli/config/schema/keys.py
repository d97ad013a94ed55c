"""The table of keys: every one by its dotted name, with type, default and declaration."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rlcli.config.declaration import Declaration
from rlcli.config.schema.run import RunConfig


@dataclass(frozen=True)
class Key:
    """Key of the schema, with its dotted name."""

    name: str
    type: Any
    default: Any
    declaration: Declaration

    @property
    def optional(self) -> bool:
        """Whether null is valid."""
        return type(None) in typing.get_args(self.type)

    @property
    def scalar_type(self) -> Any:
        """The type without `None`; of a tuple, the type of its items."""
        inner = self.type
        if isinstance(inner, types.UnionType):
            inner = next(part for part in typing.get_args(inner) if part is not type(None))
        if typing.get_origin(inner) is tuple:
            inner = typing.get_args(inner)[0]
        return inner

    @property
    def takes_text(self) -> bool:
        """Whether the value, or each item of its list, is text."""
        return self.scalar_type is str

    @property
    def is_list(self) -> bool:
        """Whether the value is a list."""
        return typing.get_origin(self.type) is tuple

    @property
    def takes_calls(self) -> bool:
        """Whether each item of its list is a name, alone or as `{name: {argument: value}}`."""
        return typing.get_origin(self.scalar_type) is types.UnionType

    @property
    def is_mapping(self) -> bool:
        """Whether the value is a mapping with names of its own."""
        return typing.get_origin(self.scalar_type) in (dict, Mapping)


OWN = "own"
"""The field of a config for keys that no field declares."""


def walk(cls: type, prefix: str) -> Iterator[Key]:
    """All keys that a dataclass declares, nested dataclasses included."""
    hints = typing.get_type_hints(cls)
    for item in dataclasses.fields(cls):
        hint = hints[item.name]
        if item.name == OWN:
            continue
        if dataclasses.is_dataclass(hint):
            yield from walk(typing.cast(type, hint), f"{prefix}{item.name}.")
            continue
        factory = item.default_factory
        default = item.default if factory is dataclasses.MISSING else factory()
        yield Key(prefix + item.name, hint, default, item.metadata["declaration"])


_KEYS = {found.name: found for found in walk(RunConfig, "")}
KEYS: Mapping[str, Key] = _KEYS
"""Every key by its dotted name, in the order of declaration; those of the user's own code come last."""
FIELDS = tuple(_KEYS)
"""The keys that are fields of a config: rlcli's own."""


def declare(found: Key) -> None:
    """Adds a key, or replaces its declaration."""
    _KEYS[found.name] = found
