"""How large a configuration is once its references (`${algo.name}`) are written out."""

from __future__ import annotations

import re
from typing import Any

LARGEST = 1_000_000
"""Characters and values; real configurations have some thousands."""
REFERENCE = re.compile(r"\$\{\s*(\.*)([\w.\[\]-]*)\s*\}")
Path = tuple[str, ...]


def written_out(content: Any) -> int:
    """Characters and values of nested plain data with every reference replaced by its value.

    More than `LARGEST` where that is not a number: a value that refers to itself.
    """
    return _Sizes(content).of((), content)


class _Sizes:
    """Sizes by path, each worked out once."""

    def __init__(self, content: Any) -> None:
        self._content = content
        self._known: dict[Path, int] = {}

    def of(self, path: Path, value: Any) -> int:
        """The size of the value at a path."""
        if path in self._known:
            return self._known[path]
        self._known[path] = LARGEST + 1  # a value reached again meanwhile refers to itself
        if isinstance(value, dict):
            size = 1 + sum(self.of((*path, str(name)), item) for name, item in value.items())
        elif isinstance(value, list):
            size = 1 + sum(self.of((*path, str(place)), item) for place, item in enumerate(value))
        else:
            size = 1 + (self._of_text(path, value) if isinstance(value, str) else 0)
        self._known[path] = size
        return size

    def _of_text(self, path: Path, text: str) -> int:
        size = len(text)
        for dots, name in REFERENCE.findall(text):
            parts = tuple(re.findall(r"[\w-]+", name))
            base = path[: max(0, len(path) - len(dots))] if dots else ()
            target = (*base, *parts)
            size += self.of(target, self._at(target))
        return size

    def _at(self, path: Path) -> Any:
        """The value at a path; None where there is none."""
        value = self._content
        for part in path:
            if isinstance(value, dict):
                value = value.get(part)
            elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
                value = value[int(part)]
            else:
                return None
        return value
