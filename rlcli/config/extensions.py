"""What code of the user's adds to the configuration: names to choose, keys, rows of algorithms.

`rlcli.extend` fills this; nothing here imports code. A key of an addition is `network.NAME.KEY` or
`algo.NAME.KEY`; a config has a value of it only where the name is chosen.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rlcli.config.declaration import Declaration
from rlcli.config.schema.keys import KEYS, Key, declare

CHOSEN_BY: Mapping[str, tuple[str, ...]] = {
    "network": ("network.name",),
    "algo": ("algo.name", "algo.surrogate", "algo.targets", "algo.penalty", "algo.step_rule"),
}
"""By section: the keys that choose an addition by its name."""
IMPORTED_BY = "no setting imports code; give --import MODULE, or set RLCLI_IMPORT."
GROUP = "rlcli_plugins"
"""Group of entry points of installed packages; the value of each is a module."""
VARIABLE = "RLCLI_IMPORT"
"""Environment variable with modules that commands import, and that run directories may name; with commas."""
OPEN = frozenset(field for fields in CHOSEN_BY.values() for field in fields)
"""Keys that may name an addition that is not loaded."""


@dataclass(frozen=True)
class Addition:
    """One thing that a module of the user's registered."""

    section: str
    """network, algo, metric or environment."""
    name: str
    module: str
    """The module that the user named, whose import registered it."""
    place: str
    """`file:line` of its code."""
    files: tuple[str, ...] = ()
    """Files that have its code."""

    def __str__(self) -> str:
        return f"{self.place}: {self.section} {self.name!r}"


@dataclass(frozen=True)
class Row:
    """A config of the group `algo` or `network` without a file."""

    doc: str
    content: Mapping[str, Any]


ADDITIONS: dict[tuple[str, str], Addition] = {}
"""By section and name."""
ROWS: dict[str, dict[str, Row]] = {}
"""By group and name."""


def add(addition: Addition, keys: Mapping[str, tuple[Any, Declaration]], fields: Iterable[str]) -> None:
    """Makes an addition a choice of `fields`, and its keys (default, declaration) keys of the schema."""
    ADDITIONS[addition.section, addition.name] = addition
    for field in fields:
        found = KEYS[field]
        choices = found.declaration.choices or ()
        if choices and addition.name not in choices:
            wider = dataclasses.replace(found.declaration, choices=(*choices, addition.name))
            declare(dataclasses.replace(found, declaration=wider))
    for short, (default, declaration) in keys.items():
        declare(key(f"{addition.section}.{addition.name}.{short}", default, declaration))


def key(name: str, default: Any, declaration: Declaration) -> Key:
    """A key whose type is that of its default."""
    kind: Any = type(default)
    if kind in (tuple, list):
        default = tuple(default)
        kind = tuple[type(default[0]), ...]  # type: ignore[misc]
    return Key(name, kind, default, declaration)


def owner(key: str) -> tuple[str, str] | None:
    """Section and name of the addition that a key belongs to; None of rlcli's own keys."""
    parts = key.split(".")
    return (parts[0], parts[1]) if len(parts) == 3 and parts[0] in CHOSEN_BY else None


def is_chosen(key: str, flat: Mapping[str, Any]) -> bool:
    """Whether the values by dotted name choose what a key belongs to."""
    found = owner(key)
    return found is None or any(flat.get(field) == found[1] for field in CHOSEN_BY[found[0]])


def used(flat: Mapping[str, Any]) -> Iterator[Addition]:
    """The additions that a config uses: those it chooses, and every metric."""
    for (section, name), addition in ADDITIONS.items():
        fields = CHOSEN_BY.get(section, ())
        named = any(flat.get(field) == name for field in fields)
        if named or section == "metric" or (section == "environment" and flat.get("env.id") == name):
            yield addition


def missing(flat: Mapping[str, Any]) -> list[str]:
    """`KEY=NAME` of each choice that no module has registered here."""
    return [
        f"{field}={flat[field]}"
        for field in sorted(OPEN)
        if (choices := KEYS[field].declaration.choices) and flat[field] not in choices
    ]
