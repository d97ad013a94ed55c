"""Entries of `env.wrappers`: a name, or a name with arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Wrapper = str | Mapping[str, Any]
"""A name, or one name with its arguments."""


def parts(wrapper: Wrapper) -> tuple[str, Mapping[str, Any]]:
    """Name and arguments."""
    if isinstance(wrapper, str):
        return wrapper, {}
    [(name, arguments)] = wrapper.items()
    return name, arguments


def modules_named(wrappers: Sequence[Wrapper]) -> list[str]:
    """The modules that `module:Class` wrappers name."""
    names = [parts(wrapper)[0] for wrapper in wrappers]
    return [name.rpartition(":")[0] for name in names if ":" in name]
