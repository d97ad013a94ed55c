"""File access in run directories: atomic writes, reads limited in size, files that grow line by line."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from rlcli.errors import StorageError
from rlcli.plain import (
    check_file,
    check_folder,
    cut,
    is_there,
    make_folder,
    open_append,
    open_handle,
    open_plain,
    opener,
    storage_error,
)

__all__ = [
    "LineFile", "check_file", "check_folder", "cut", "deeper", "has_content", "is_there", "make_folder",
    "open_append", "open_handle", "open_plain", "read_bytes", "read_json", "read_text", "settle",
    "storage_error", "write_all", "write_atomically", "write_json",
]  # fmt: skip

LARGEST_TEXT = 16 * 2**20
"""Bytes of a JSON or YAML file that is read; real ones have a few thousand."""

DEEPEST = 16
"""Containers within containers in a JSON file that is read; real ones have three."""


def write_atomically(path: Path, content: bytes | bytearray) -> None:
    """Replaces `path` by `content` atomically: written under another name, synced, then renamed.

    Raises:
        StorageError: the disk is full, or refuses; the earlier file is untouched.
    """
    temporary = path.with_name(path.name + ".new")
    try:
        _remove_leftover(temporary)
        with open(temporary, "xb", opener=opener) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise storage_error(path, error) from error


def write_all(contents: Mapping[Path, bytes]) -> None:
    """`write_atomically` for many files, in hardly more time than for one: synced once all are written.

    Raises:
        StorageError: the disk is full, or refuses; files renamed before stay.
    """
    beside = {path: path.with_name(path.name + ".new") for path in contents}
    path = Path()
    try:
        for path, temporary in beside.items():
            _remove_leftover(temporary)
            with open(temporary, "xb", opener=opener) as file:
                file.write(contents[path])
        for path, temporary in beside.items():
            with open(temporary, "rb", opener=opener) as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        for folder in dict.fromkeys(path.parent for path in contents):
            _sync_folder(folder)
    except OSError as error:
        for temporary in beside.values():
            with contextlib.suppress(OSError):
                temporary.unlink()
        raise storage_error(path, error) from error


def has_content(path: Path, content: bytes) -> bool:
    """Whether `path` is a file with exactly this content."""
    try:
        return read_bytes(path, len(content)) == content
    except StorageError:
        return False


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Replaces `path` by a JSON object."""
    write_atomically(path, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())


def read_bytes(path: Path, largest: int = LARGEST_TEXT) -> bytes:
    """The content of a file of at most `largest` bytes.

    Raises:
        StorageError: it is missing, unreadable, no file, or larger.
    """
    try:
        with open_plain(path) as file:
            size = os.fstat(file.fileno()).st_size
            # `read` allocates what it is asked for, so it is asked for the file's size and a byte more.
            content = file.read(size + 1) if size <= largest else b""
    except OSError as error:
        raise storage_error(path, error) from error
    except MemoryError:
        raise StorageError(f"{path} is larger than memory.") from None
    if max(size, len(content)) > largest:
        raise StorageError(f"{path} is too large to be what rlcli wrote.")
    return content


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`.

    Raises:
        StorageError: it is missing, too large, not JSON, or no object.
    """
    try:
        content = json.loads(read_bytes(path))
    except (ValueError, RecursionError) as error:
        raise StorageError(f"{path} is damaged: {error}.") from error
    if not isinstance(content, dict):
        raise StorageError(f"{path} is damaged: it is not a JSON object.")
    if deeper(content, DEEPEST):
        raise StorageError(f"{path} is damaged: it is nested deeper than {DEEPEST} levels.")
    return content


def deeper(value: Any, allowed: int) -> bool:
    """Whether containers are nested more than `allowed` deep."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return bool(inner) and (allowed == 0 or any(deeper(item, allowed - 1) for item in inner))


def read_text(path: Path) -> str:
    """The UTF-8 text in `path`.

    Raises:
        StorageError: it is missing, too large, or no such text.
    """
    try:
        return read_bytes(path).decode()
    except UnicodeDecodeError as error:
        raise StorageError(f"{path} is damaged: {error}.") from error


class LineFile:
    """A text file that grows line by line; created by the first."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: TextIO | None = None

    def write(self, line: str) -> None:
        """Appends a line and hands it to the operating system.

        Raises:
            StorageError: the disk is full, or refuses.
        """
        try:
            if self._file is None:
                self._file = open_append(self._path)
            self._file.write(line + "\n")
            self._file.flush()
        except OSError as error:
            raise storage_error(self._path, error) from error

    def close(self) -> None:
        """Closes the file; errors of writing were reported by `write`."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()


def settle(path: Path) -> None:
    """Syncs a file to the disk; does nothing if there is no such file.

    Raises:
        StorageError: the disk is full, or refuses.
    """
    if not is_there(path):
        return
    try:
        with open_plain(path) as file:
            os.fsync(file.fileno())
    except OSError as error:
        raise storage_error(path, error) from error


def _remove_leftover(temporary: Path) -> None:
    """Removes a half-written file that a killed process left.

    Raises:
        StorageError: something else has its name.
    """
    check_file(temporary)
    temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Syncs a folder, so that a rename in it lasts; some network file systems do not support it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)
