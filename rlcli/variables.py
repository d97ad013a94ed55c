"""Environment variables that are set for the length of a block."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping


@contextlib.contextmanager
def variables(values: Mapping[str, str], *, replaced: bool = False) -> Iterator[None]:
    """Sets variables while the block runs; no child process started later finds them.

    Those that are set already keep their values, which are the user's; `replaced` sets them all the same, and
    puts their values back.
    """
    before = {name: os.environ.get(name) for name in values}
    chosen = {name: value for name, value in values.items() if replaced or before[name] is None}
    os.environ.update(chosen)
    try:
        yield
    finally:
        for name in chosen:
            kept = before[name]
            if kept is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = kept
