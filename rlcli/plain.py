"""Files and folders inside a run or sweep directory: how they are opened, and what is refused.

Whatever rlcli opens or makes in such a directory, it opens and makes here: files that are neither links nor
pipes nor devices, and folders that are no links. So nothing that lies in a directory leads a write out of it,
and nothing blocks. A file that is written in place must have one name only, since a hard link is a second
name of somebody's file.
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
    """Opens a file of a run directory for reading; links, pipes and devices are none.

    Raises:
        StorageError: it is missing, unreadable, or no plain file.
    """
    try:
        return open(path, "rb", opener=opener)
    except OSError as error:
        raise storage_error(path, error) from error


def open_linked(path: Path) -> BinaryIO:
    """Opens a file of the user's own for reading, also one that is linked; pipes and devices are refused.

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
    """Opens a file that is written in place, as `os.open` does; what is no plain file is refused.

    Raises:
        StorageError: it cannot be opened, is a link, no plain file, or has a second name.
    """
    try:
        return opener(str(path), flags)
    except OSError as error:
        raise storage_error(path, error) from error


def open_append(path: Path) -> TextIO:
    """Opens a text file to add lines to, made if it is missing; see `open_handle`.

    Raises:
        StorageError: as `open_handle`.
    """
    handle = open_handle(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    return os.fdopen(handle, "a", encoding="utf-8", errors="backslashreplace")


def make_folder(path: Path) -> None:
    """Makes a folder inside a run directory unless it is there; a link to one is refused.

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
    """Whether a folder inside a run directory is there.

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
        raise StorageError(f"{path} is a link; what lies in a run directory may not lead out of it.")
    if not stat.S_ISDIR(mode):
        raise StorageError(f"{path} is not a folder.")
    return True


def check_file(path: Path, in_place: bool = False) -> None:
    """Lets a name pass that nothing has, or a plain file; written in place, one of a single name.

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
    """Whether anything has that name, a link that leads nowhere included."""
    return os.path.lexists(path)


def cut(path: Path, size: int) -> None:
    """Cuts a file after `size` bytes.

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
    """An OSError as one readable message."""
    if error.errno in FULL:
        return StorageError(f"{path}: the disk is full.")
    if error.errno == errno.ELOOP:
        return StorageError(f"{path} is a link; in a run directory rlcli reads and writes plain files only.")
    return StorageError(f"{path}: {error.strerror or error}.")


def opener(path: str, flags: int) -> int:
    """Opens a plain file, and nothing else: an opener for `open`."""
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
