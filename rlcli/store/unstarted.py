"""Folders in which a run or sweep was about to begin when its process was killed: known, and free again.

Before there is a manifest, or a sweep.json, a process makes only files that it would make again. A folder
that holds anything else, such as a config.yaml that somebody has written, is nobody's leftover.
"""

from __future__ import annotations

from pathlib import Path

from rlcli.config.serialise import from_yaml, to_yaml
from rlcli.errors import RlcliError, StorageError
from rlcli.store.files import read_text, storage_error
from rlcli.store.lock import Lock, holder

CONFIG = "config.yaml"
MADE = ("code.diff", "base.yaml", "study.log")
"""What else is made before the file that makes a folder a run or a sweep."""
FIRST = frozenset(
    {"lock", CONFIG, *MADE, *(f"{name}.new" for name in (CONFIG, "manifest.json", "sweep.json", *MADE))}
)
MOST = 20_000
"""Entries of a folder that are looked at; a sweep may have had thousands of jobs."""


def is_leftover(folder: Path) -> bool:
    """Whether a folder holds only what is made before there is a run or a sweep, and no process is at it."""
    try:
        _within(folder)
    except (OSError, RlcliError):
        return False
    return holder(folder) is None


def take_over(folder: Path) -> None:
    """Empties a leftover.

    Raises:
        UserError: another process is at it.
        StorageError: it cannot be emptied, or is no leftover any more.
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
    """The files of a leftover and its folders, each after what it holds.

    Raises:
        StorageError: it is none.
    """
    if folder.is_symlink() or not folder.is_dir():
        raise StorageError(f"{folder} is not a folder.")
    found: list[Path] = []
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            inside = list(path.iterdir())
            if any(one.name not in (CONFIG, f"{CONFIG}.new") or not _is_ours(one) for one in inside):
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
    """Whether a file is a plain one, and as rlcli writes it: nobody has put work into it."""
    if path.is_symlink() or not path.is_file():
        return False
    if path.name not in (CONFIG, "base.yaml"):
        return True
    text = read_text(path)
    return to_yaml(from_yaml(text, str(path))) == text
