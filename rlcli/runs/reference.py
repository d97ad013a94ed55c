"""Reference of a run on the command line: what follows `rlcli resume`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import NamedTuple

from rlcli.config.schema.run import RunConfig
from rlcli.store import own_runs
from rlcli.store.directory import runs_root
from rlcli.store.manifest import Manifest


class Reference(NamedTuple):
    """A run, or the sweep it belongs to, since that is what is resumed."""

    name: str
    """For a message: `run x` or `sweep y`."""
    words: str
    """For the command line."""


def reference(manifest: Manifest, run_dir: Path, config: RunConfig) -> Reference:
    """The id of a run, or its folder if that is not in the default place; of a job, the folder of its sweep.

    `run_dir` is the folder as the user named it.
    """
    content = manifest.content
    if content["sweep"] is not None:
        return sweep_reference(run_dir.parent)
    default = run_dir.absolute().parent == runs_root().absolute()
    named = shlex.quote(str(content["id"] if default else run_dir))
    return Reference(f"run {run_dir.name}", " ".join((named, *import_flags(run_dir, config))))


def import_flags(run_dir: Path, config: RunConfig) -> list[str]:
    """`--import MODULE` for each module of a run that the user has to name: none for runs made here."""
    return [f"--import {shlex.quote(name)}" for name in own_runs.to_import(run_dir, config)]


def sweep_reference(directory: Path) -> Reference:
    """The folder of a sweep."""
    return Reference(f"sweep {directory.name}", shlex.quote(str(directory)))
