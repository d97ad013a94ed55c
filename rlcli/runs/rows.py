"""What metrics.jsonl says last."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from rlcli.errors import StorageError
from rlcli.runs.files import open_plain

FILE = "metrics.jsonl"
TAIL = 2**20
"""Bytes at the end of the file that hold its last row."""


def last_row(run_dir: Path) -> dict[str, float]:
    """The figures of the last whole row, lists left out; empty when there is no row.

    Raises:
        StorageError: the file is there, but is no plain file.
    """
    path = run_dir / FILE
    if not os.path.lexists(path):
        return {}
    try:
        with open_plain(path) as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
            lines = file.read(TAIL).splitlines()
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror or error}.") from error
    for line in reversed(lines):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue  # torn by a crash
        if isinstance(row, dict):
            return {name: value for name, value in row.items() if _is_figure(value)}
    return {}


def _is_figure(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and abs(value) < 2.0**1023 and math.isfinite(value)
