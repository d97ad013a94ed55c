"""Safe access to files and folders of a run or sweep directory: links, pipes and devices are refused.

All files and folders of such a directory are opened and made here: files that are neither links nor pipes
nor devices, and folders that are not links. So no write can leave the directory, and no open can block. A
file that is written in place must have one name only, since a hard link is a second name of another file.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO, TextIO

from rlcli.errors import StorageError

FULL = (errno.ENOSPC, errno.EDQUOT)


def open_plain(path: Path) -> BinaryIO:
    """Opens a file of a run directory for reading; links, pipes and devices are refused.

    Raises:
        StorageError: it is missing, unreadable, or no plain file.
    """
    try:
        return open(path, "rb", opener=opener)
    except OSError as error:
        raise storage_error(path, error) from error


def open_linked(path: Path) -> BinaryIO:
    """Opens a file of the user for reading, also through a link; pipes and devices are refused.

    Raises:
        StorageError: it is missing, unreadable, or no plain file.
    """
    try:
        return open(path.resolve(), "rb", opener=opener)
    except StorageError:
        raise StorageError(f"{path} is not a file.") from None
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
        raise StorageError(f"{path}: {getattr(error, 'strerror', None) or error}.") from error


def open_handle(path: Path, flags: int) -> int:
    """Opens a file for writing in place, as `os.open` does; all but plain files are refused.

    Raises:
        StorageError: it cannot be opened, is a link, no plain file, or has a second name.
    """
    try:
        return opener(str(path), flags)
    except OSError as error:
        raise storage_error(path, error) from error


def open_append(path: Path) -> TextIO:
    """Opens a text file for appending lines, made if it is missing; see `open_handle`.

    Raises:
        StorageError: as `open_handle`.
    """
    handle = open_handle(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    return os.fdopen(handle, "a", encoding="utf-8", errors="backslashreplace")


def make_folder(path: Path) -> None:
    """Makes a folder inside a run directory unless it exists; a link to one is refused.

    Raises:
        StorageError: it cannot be made, or what has its name is no folder.
    """
    try:
        with contextlib.suppress(FileExistsError):
            path.mkdir()
    except OSError as error:
        raise storage_error(path, error) from error
    check_folder(path)


def check_folder(path: Path) -> bool:
    """Whether a folder inside a run directory exists.

    Raises:
        StorageError: what has its name is a link, or no folder.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return False
    except OSError as error:
        raise storage_error(path, error) from error
    if stat.S_ISLNK(mode):
        raise StorageError(f"{path} is a link; files of a run directory may not lead out of it.")
    if not stat.S_ISDIR(mode):
        raise StorageError(f"{path} is not a folder.")
    return True


def check_file(path: Path, in_place: bool = False) -> None:
    """Checks that a path is free or a plain file; one written in place may have a single name only.

    Raises:
        StorageError: it is a link, no plain file, or has a second name.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise storage_error(path, error) from error
    if stat.S_ISLNK(found.st_mode):
        raise storage_error(path, OSError(errno.ELOOP, "a link"))
    _check_plain(str(path), found, in_place)


def is_there(path: Path) -> bool:
    """Whether anything has that path, a dangling link included."""
    return os.path.lexists(path)


def cut(path: Path, size: int) -> None:
    """Truncates a file to `size` bytes.

    Raises:
        StorageError: it cannot be written, or is no plain file.
    """
    handle = open_handle(path, os.O_WRONLY)
    try:
        os.ftruncate(handle, size)
    except OSError as error:
        raise storage_error(path, error) from error
    finally:
        os.close(handle)


def storage_error(path: Path, error: OSError) -> StorageError:
    """`StorageError` with a readable message for an `OSError`."""
    if error.errno in FULL:
        return StorageError(f"{path}: the disk is full.")
    if error.errno == errno.ELOOP:
        return StorageError(f"{path} is a link; in a run directory rlcli reads and writes plain files only.")
    return StorageError(f"{path}: {error.strerror or error}.")


def opener(path: str, flags: int) -> int:
    """Opener for `open` that opens plain files only."""
    # Without blocking: a pipe in the place of a file would wait for ever for someone at its other end.
    try:
        handle = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a pipe without a reader, or a socket
            raise StorageError(f"{path} is not a file.") from None
        raise
    try:
        _check_plain(path, os.fstat(handle), bool(flags & (os.O_WRONLY | os.O_RDWR)))
    except StorageError:
        os.close(handle)
        raise
    return handle


def _check_plain(path: str, found: os.stat_result, in_place: bool) -> None:
    """Raises `StorageError` when this is no plain file, or has several names and is written in place."""
    if not stat.S_ISREG(found.st_mode):
        raise StorageError(f"{path} is not a file.")
    if found.st_nlink > 1 and in_place:
        raise StorageError(
            f"{path} is one of {found.st_nlink} names of the same file (a hard link): writing here would "
            "change the others. Copy it, and move the copy here."
        )
