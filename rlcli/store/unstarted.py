"""Unstarted runs: folders whose process was killed before its run or sweep started; their names are free.

Before manifest.json or sweep.json exists, a process writes only files that it would write again. A folder
with anything else, such as a config.yaml that the user wrote, is not an unstarted run.
"""

from __future__ import annotations

from pathlib import Path

from rlcli.config.serialise import from_yaml, to_yaml
from rlcli.errors import RlcliError, StorageError
from rlcli.store.files import read_text, storage_error
from rlcli.store.lock import Lock, holder

CONFIG = "config.yaml"
START = "start.safetensors"
MADE = ("code.diff", "base.yaml", "study.log", START)
"""Other files written before manifest.json or sweep.json."""
FIRST = frozenset(
    {"lock", CONFIG, *MADE, *(f"{name}.new" for name in (CONFIG, "manifest.json", "sweep.json", *MADE))}
)
OF_A_JOB = (CONFIG, f"{CONFIG}.new", START, f"{START}.new")
"""Files of a sweep's job written before it starts."""
MOST = 20_000
"""Maximum number of entries in a folder; a sweep may have thousands of jobs."""


def is_unstarted(folder: Path) -> bool:
    """Whether a folder has only files from before a run or sweep starts, and no process has its lock."""
    try:
        _within(folder)
    except (OSError, RlcliError):
        return False
    return holder(folder) is None


def take_over(folder: Path) -> None:
    """Empties the folder of an unstarted run.

    Raises:
        UserError: another process has its lock.
        StorageError: it cannot be emptied, or is not an unstarted run any more.
    """
    lock = Lock(folder)
    try:
        for path in _within(folder):
            if path.is_dir():
                path.rmdir()
            elif path.name != "lock" or path.parent != folder:
                path.unlink(missing_ok=True)
    except OSError as error:
        raise storage_error(folder, error) from error
    finally:
        lock.release()


def _within(folder: Path) -> list[Path]:
    """The files and folders of an unstarted run, a folder after its content.

    Raises:
        StorageError: it is not an unstarted run.
    """
    if folder.is_symlink() or not folder.is_dir():
        raise StorageError(f"{folder} is not a folder.")
    found: list[Path] = []
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            inside = list(path.iterdir())
            if any(one.name not in OF_A_JOB or not _is_ours(one) for one in inside):
                raise StorageError(f"{path} holds something.")
            found += [*inside, path]
        elif path.name in FIRST and _is_ours(path):
            found.append(path)
        else:
            raise StorageError(f"{path} is there.")
        if len(found) > MOST:
            raise StorageError(f"{folder} holds too much.")
    return found


def _is_ours(path: Path) -> bool:
    """Whether a file is a plain file as rlcli writes it, not changed by the user."""
    if path.is_symlink() or not path.is_file():
        return False
    if path.name not in (CONFIG, "base.yaml"):
        return True
    text = read_text(path)
    return to_yaml(from_yaml(text, str(path))) == text
