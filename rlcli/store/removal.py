"""Removal of runs and sweeps from the disk.

Removed is only what rlcli writes: a folder with anything else in it is left as it is, and links are never
followed. manifest.json of a run and sweep.json of a sweep go last, so that what a kill leaves is still a run
or a sweep, and can be removed again.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from rlcli.errors import StorageError, UserError
from rlcli.store.directory import SWEEP
from rlcli.store.files import storage_error
from rlcli.store.layout import NEW, is_of_run
from rlcli.store.layout import SWEEP as OF_SWEEP
from rlcli.store.lock import FILE as LOCK
from rlcli.store.lock import Lock, holder
from rlcli.store.manifest import FILE as MANIFEST
from rlcli.store.manifest import Manifest
from rlcli.store.unstarted import is_unstarted

BLOCK = 512
"""Bytes of the blocks in which a file system counts."""
SHOWN = 3


def disk_usage(folder: Path) -> int:
    """Bytes on the disk of everything in a folder, and of itself; links count as links."""
    total = _blocks(folder)
    for path, folders, files in os.walk(folder):
        total += sum(_blocks(Path(path) / name) for name in (*folders, *files))
    return total


def jobs_of(sweep: Path) -> list[Path]:
    """The folders of a sweep's jobs that are still there."""
    return [
        path
        for path in sorted(sweep.iterdir())
        if path.is_dir() and not path.is_symlink() and path.name not in OF_SWEEP
    ]


def obstacles(folder: Path, *, force: bool = False) -> Iterator[str]:
    """Why a run or a sweep is not removed; nothing where it can be.

    `force` allows runs in use, and those whose manifest is damaged.
    """
    if folder.is_symlink() or not folder.is_dir():
        yield f"{folder} is a link or no folder: only run directories are removed."
    elif (folder / SWEEP).is_file():
        yield from _foreign(folder, sweep=True)
        if holder(folder) is not None and not force:
            yield f"{folder} is in use by a running sweep; stop it first."
        for job in jobs_of(folder):
            yield from obstacles(job, force=force)
    elif not (folder / MANIFEST).is_file():
        if not is_unstarted(folder):
            yield f"{folder} is not a run: it has no {MANIFEST}."
    else:
        yield from _foreign(folder, sweep=False)
        if holder(folder) is not None and not force:
            yield f"{folder} is running; stop it first, or remove it anyway with --force."
        if not force:
            try:
                Manifest.read(folder)
            except StorageError as error:
                yield f"{error} So it may be no run; if it is, --force removes it."


def remove(folder: Path, *, force: bool = False) -> None:
    """Removes a run or a sweep that has no `obstacles`; `force` removes it even while a process has its lock.

    Raises:
        UserError: another process has its lock.
        StorageError: a file cannot be removed; what is left can be removed again.
    """
    if (folder / SWEEP).is_file():
        with _locked(folder, force):
            for job in jobs_of(folder):
                remove(job, force=force)
            _empty(folder, last=SWEEP)
    else:
        with _locked(folder, force):
            _empty(folder, last=MANIFEST)
    try:
        folder.rmdir()
    except OSError as error:
        raise storage_error(folder, error) from error


@contextlib.contextmanager
def _locked(folder: Path, force: bool) -> Iterator[None]:
    """The lock of a folder while it is emptied, except where it is forced from another process."""
    try:
        lock = Lock(folder)
    except UserError:
        if not force:
            raise
        yield
        (folder / LOCK).unlink(missing_ok=True)
        return
    try:
        yield
    finally:
        lock.release()


def _empty(folder: Path, last: str) -> None:
    """Removes what is in a folder, all but the lock; one file as the last."""
    for path in sorted(folder.iterdir(), key=lambda path: path.name == last):
        if path.name == LOCK:
            continue
        try:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise storage_error(path, error) from error


def _foreign(folder: Path, *, sweep: bool) -> Iterator[str]:
    """A fault where something is in a folder that rlcli does not write there."""
    jobs = {path.name for path in jobs_of(folder)} if sweep else set()
    found = [
        name
        for name in sorted(path.name for path in folder.iterdir())
        if not (name in jobs or (name.removesuffix(NEW) in OF_SWEEP if sweep else is_of_run(name)))
    ]
    if found:
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        yield (
            f"{folder} holds {', '.join(found[:SHOWN])}{more}, which rlcli did not write: nothing in it is "
            "removed; move that away first."
        )


def _blocks(path: Path) -> int:
    try:
        return path.lstat().st_blocks * BLOCK
    except OSError:
        return 0
