"""Metric files of an MLflow run in MLflow's store of plain files: one per metric, one line per row.

A line is `timestamp value step`, the timestamp in milliseconds since 1970. MLflow's own function opens a file
and reads the run's description for each number, 14 ms a row of 60; here a batch of rows is appended to each
file at once. The format is that of MLflow's store, which it no longer changes.
"""

from __future__ import annotations

import re
import shutil
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from rlcli.loggers.interface import Row, TimedRow
from rlcli.plain import check_folder, make_folder, open_append

FOLDER = "metrics"
NAME = re.compile(r"\w[\w.-]*(?:/\w[\w.-]*)*", re.ASCII)
"""Names of metrics that are files below the folder."""

UPDATES = "updates"
"""Name of a row's update: `update` is the folder of the metrics `update/...`."""


def figures(row: Row) -> dict[str, float]:
    """The numbers of a row by metric, without its step; of a list the last."""
    found = {}
    for name, value in row.items():
        if name != "env_steps" and value != [] and NAME.fullmatch(name):
            found[UPDATES if name == "update" else name] = value[-1] if isinstance(value, list) else value
    return found


def append(run_dir: Path, rows: Sequence[TimedRow], folder: str = FOLDER) -> None:
    """Appends rows to the metric files of an MLflow run.

    Raises:
        StorageError: a file cannot be opened, or is a link.
        OSError: it cannot be written.
    """
    lines: defaultdict[str, list[str]] = defaultdict(list)
    for row, at in rows:
        for name, value in figures(row).items():
            lines[name].append(f"{int(1000 * at)} {value!r} {row['env_steps']}\n")
    made: set[str] = set()
    for name, text in lines.items():
        parts = (folder, *name.split("/")[:-1])
        for depth in range(1, len(parts) + 1):
            part = "/".join(parts[:depth])
            if part not in made:
                make_folder(run_dir / part)
                made.add(part)
        with open_append(run_dir / folder / name) as file:
            file.writelines(text)


def rewrite(run_dir: Path, batches: Iterable[Sequence[TimedRow]]) -> None:
    """Writes the metric files of an MLflow run anew; the earlier ones are removed once these are whole.

    Raises:
        StorageError: there is a link in the place of a file or a folder.
        OSError: a file cannot be written.
    """
    new, old = f"{FOLDER}.new", f"{FOLDER}.old"
    for name in (new, old):
        if check_folder(run_dir / name):
            shutil.rmtree(run_dir / name)
    make_folder(run_dir / new)
    for batch in batches:
        append(run_dir, batch, new)
    if check_folder(run_dir / FOLDER):
        (run_dir / FOLDER).rename(run_dir / old)
    (run_dir / new).rename(run_dir / FOLDER)
    if check_folder(run_dir / old):
        shutil.rmtree(run_dir / old)
