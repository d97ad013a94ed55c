"""Layout of run and sweep directories: the files that rlcli writes, and checks that they are plain files.

The checks come before any change: a link, pipe, device or folder in place of a file, or a link in place of a
folder, ends the command while the directory is unchanged.
"""

from __future__ import annotations

import re
from pathlib import Path

from rlcli.errors import StorageError
from rlcli.plain import check_file, check_folder
from rlcli.store.files import is_there

GROWING = ("metrics.jsonl", "digests.txt", "alerts.jsonl", "train.log", "lock")
"""Files of a run that are written in place."""
REPLACED = ("config.yaml", "manifest.json", "code.diff", "failed_batch.safetensors", "profile.json",
            "start.safetensors")  # fmt: skip
"""Files of a run that are replaced atomically."""
FOLDERS = ("checkpoints", "exports", "videos", "wandb", "wandb/cache")
SWEEP = ("sweep.json", "results.csv", "base.yaml", "study.log", "study.log.again", "launch", "lock")
"""Files of a sweep."""
NEW = ".new"
"""Suffix of a file while it is written."""
NUMBERED = re.compile(r"(metrics\.jsonl|digests\.txt)\.before-[0-9]+|events\.out\.tfevents\..+")
"""Files of a run whose names have a number."""


def check_run(run_dir: Path) -> None:
    """Checks everything that a run would write.

    Raises:
        StorageError: something else has one of the names.
    """
    for name in GROWING:
        check_file(run_dir / name, in_place=True)
    for name in (*REPLACED, *(f"{name}{NEW}" for name in (*REPLACED, "digests.txt", "alerts.jsonl"))):
        check_file(run_dir / name)
    for name in FOLDERS:
        if not check_folder(run_dir / name) and name == "wandb":
            return


def check_sweep(directory: Path) -> None:
    """Checks everything that a sweep would write besides its runs.

    Raises:
        StorageError: something else has one of the names.
    """
    for name in SWEEP:
        check_file(directory / name, in_place=name in ("study.log", "lock"))
        check_file(directory / f"{name}{NEW}")


def is_of_run(name: str) -> bool:
    """Whether rlcli writes a file or folder of this name directly into a run directory."""
    known = (*GROWING, *REPLACED, *FOLDERS)
    return name.removesuffix(NEW) in known or NUMBERED.fullmatch(name) is not None


def remove_leftovers(run_dir: Path) -> None:
    """Deletes half-written files of a killed process.

    Raises:
        StorageError: it cannot be removed.
    """
    for name in (*REPLACED, *GROWING):
        path = run_dir / f"{name}{NEW}"
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror or error}.") from error


def set_aside(path: Path) -> Path | None:
    """Renames a file that will be rewritten to `<name>.before-<n>`; None if it is missing or empty.

    Raises:
        StorageError: it cannot be renamed.
    """
    if not is_there(path) or path.lstat().st_size == 0:
        return None
    number = 1
    while is_there(path.with_name(f"{path.name}.before-{number}")):
        number += 1
    target = path.with_name(f"{path.name}.before-{number}")
    try:
        return path.rename(target)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror or error}.") from error
