"""Rows as JSON, and the texts of their numbers: by the kernels in C where there are any, with every digit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache

from rlcli.kernels import library
from rlcli.kernels.texts import texts as in_c
from rlcli.loggers.interface import Row

NOT_FINITE = frozenset(("nan", "inf", "-inf"))
ALONE = -1
"""In place of the length of a list."""


def texts(values: Sequence[float]) -> list[str]:
    """`float.__repr__` of every value."""
    return in_c(values) if library.problem() is None else [float.__repr__(value) for value in values]


def row_as_json(row: Row) -> str:
    """`json.dumps(row, allow_nan=False)`, which is called for rows of anything but floats, ints and lists.

    Raises:
        ValueError: a number is not finite.
    """
    whole: list[str | None] = []
    numbers: list[float] = []
    sizes: list[int] = []
    for value in row.values():
        kind = type(value)
        if kind is float:
            numbers.append(value)
            whole.append(None)
            sizes.append(ALONE)
        elif kind is int:
            whole.append(str(value))
            sizes.append(ALONE)
        elif kind is list and all(type(one) is float for one in value):
            numbers += value
            whole += [None] * len(value)
            sizes.append(len(value))
        else:
            return json.dumps(row, allow_nan=False)
    found = texts(numbers)
    if not NOT_FINITE.isdisjoint(found):
        raise ValueError("a number is not finite")
    floats = iter(found)
    return _template(tuple(row), tuple(sizes)) % tuple([one or next(floats) for one in whole])


@lru_cache(maxsize=64)  # rows of a run have the same figures most of the time
def _template(names: tuple[str, ...], sizes: tuple[int, ...]) -> str:
    """A row with %s in place of every number."""
    places = ("%s" if size == ALONE else f"[{', '.join(['%s'] * size)}]" for size in sizes)
    parts = (
        f"{json.dumps(name).replace('%', '%%')}: {place}" for name, place in zip(names, places, strict=True)
    )
    return "{" + ", ".join(parts) + "}"
