"""The runs that arguments mean: paths, ids, names, `last`, and sweeps, each run once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from rlcli.analysis.history import History, read_history
from rlcli.config.serialise import flatten
from rlcli.errors import StorageError, UserError
from rlcli.store.config_file import read_config
from rlcli.store.directory import find_run, find_sweep, manifests, summary
from rlcli.sweeps.sweep import Sweep


@dataclass(frozen=True)
class Run:
    """A run of a selection, with its settings; its rows are read when they are first asked for."""

    dir: Path
    summary: Mapping[str, Any]
    """As `rlcli.store.directory.summary` gives it: id, name, algo, env, seed, status, and more."""
    settings: Mapping[str, Any]
    """The resolved config by dotted key."""
    sweep: Path | None = None
    """The sweep that it was selected with."""

    @property
    def id(self) -> str:
        """The id of the run."""
        return str(self.summary["id"])

    @property
    def name(self) -> str:
        """The name of the run's folder, within a sweep that of its job."""
        return str(self.summary["name"])

    @cached_property
    def history(self) -> History:
        """All rows as columns.

        Raises:
            StorageError: metrics.jsonl cannot be read.
        """
        return read_history(self.dir)


@dataclass(frozen=True)
class Selection:
    """The runs that arguments mean, and what could not be read of them."""

    runs: tuple[Run, ...]
    faults: tuple[str, ...]
    """One sentence for each run that is left out, with its folder."""


def select(references: Sequence[str], root: Path) -> Selection:
    """The runs of all references in their order; of a sweep those that have started.

    A run that is damaged is left out and named in `faults`.

    Raises:
        UserError: a reference means no run or several, or no run is left.
    """
    known = cache(manifests)
    folders = list(dict.fromkeys(found for text in references for found in _folders(text, root, known)))
    runs, faults, seen = [], [], set()
    for folder, sweep in folders:
        if folder.resolve() in seen:
            continue
        seen.add(folder.resolve())
        try:
            runs.append(Run(folder, summary(folder), flatten(read_config(folder)), sweep))
        except (StorageError, UserError) as error:
            faults.append(f"{folder} is left out: {error}")
    if not runs:
        raise UserError(*(faults or ["No run was named."]), hint="See which runs there are: rlcli runs")
    return Selection(tuple(runs), tuple(faults))


def _folders(
    reference: str, root: Path, known: Callable[[Path], dict[Path, dict[str, Any]]]
) -> list[tuple[Path, Path | None]]:
    """Folders of the runs that one reference means, each with the sweep it was selected with."""
    sweep = find_sweep(reference, root)
    if sweep is None:
        return [(find_run(reference, root, known), None)]
    started = [sweep / job.name for job in Sweep.read(sweep).jobs if job.status != "waiting"]
    if not started:
        raise UserError(f"No run of the sweep {sweep} has started.")
    return [(folder, sweep) for folder in started]
