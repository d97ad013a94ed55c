"""Faults of a configuration, collected so that all of them are shown at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rlcli.config.schema.run import RunConfig


@dataclass(frozen=True)
class Fault:
    """One thing wrong, with the keys it is about."""

    text: str
    keys: frozenset[str] = frozenset()
    worded: Callable[[Mapping[str, Any]], str] | None = field(default=None, compare=False)
    """The text for the values of some keys, where it depends on them."""

    def given(self, values: Mapping[str, Any]) -> Fault:
        """The fault with its text for the values of some keys."""
        return self if self.worded is None else dataclasses.replace(self, text=self.worded(values))

    def touches(self, broken: Iterable[str]) -> bool:
        """Whether a key of this fault is among `broken` (keys, or sections and groups holding keys)."""
        return any(key == part or key.startswith(part + ".") for part in broken for key in self.keys)


def texts(faults: Iterable[Fault]) -> list[str]:
    """The texts of faults, each once, in order."""
    return list(dict.fromkeys(fault.text for fault in faults))


Check = Callable[[RunConfig, Mapping[str, str]], Iterable[Fault]]
"""Takes a composed configuration and the source of each key's value; yields its faults."""
