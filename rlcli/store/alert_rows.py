"""Alerts of a run (alerts.jsonl): one line for each that was raised, in the order of updates.

They follow from metrics.jsonl and config.yaml: a resumed run writes those of the rows that stay anew.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlcli.store.files import LineFile, is_there, open_plain, storage_error, write_atomically

FILE = "alerts.jsonl"
LARGEST = 2**20
"""Bytes that are read; each rule has one line of a few hundred."""
SHOWN: Mapping[str, tuple[type, ...]] = {"update": (int,), "alert": (str,), "text": (str,)}
"""Fields that are read, with their types."""


class AlertRows:
    """Writer of a run's alerts."""

    def __init__(self, run_dir: Path, earlier: Sequence[Mapping[str, Any]] = ()) -> None:
        """Opens the file to continue after the alerts of earlier processes.

        Raises:
            StorageError: it cannot be replaced.
        """
        path = run_dir / FILE
        if is_there(path) or earlier:
            write_atomically(path, "".join(f"{json.dumps(row)}\n" for row in earlier).encode())
        self._lines = LineFile(path)

    def add(self, row: Mapping[str, Any]) -> None:
        """Writes an alert.

        Raises:
            StorageError: the disk is full, or refuses.
        """
        self._lines.write(json.dumps(row))

    def close(self) -> None:
        """Closes the file."""
        self._lines.close()


def read_alerts(run_dir: Path) -> list[dict[str, Any]]:
    """The alerts of a run, in order; lines that are damaged are left out.

    Raises:
        StorageError: the file exists, but cannot be read.
    """
    path = run_dir / FILE
    if not is_there(path):
        return []
    try:
        with open_plain(path) as file:
            lines = file.read(LARGEST).splitlines()
    except OSError as error:
        raise storage_error(path, error) from error
    return [row for line in lines if (row := _parsed(line)) is not None]


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    fits = isinstance(row, dict) and all(type(row.get(name)) in types for name, types in SHOWN.items())
    return {name: row[name] for name in SHOWN} if fits else None
