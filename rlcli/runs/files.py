"""Files of a run directory: written whole or not at all, read as bounded plain data."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

from rlcli.errors import StorageError

LARGEST_JSON = 16 * 2**20
"""Bytes of a JSON file that is read; real ones have a few thousand."""


def write_atomically(path: Path, content: bytes) -> None:
    """Replaces `path` by `content`: another name first, flushed to the disk, then renamed.

    Raises:
        StorageError: the disk is full, or refuses.
    """
    temporary = path.with_name(path.name + ".new")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise storage_error(path, error) from error


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Replaces `path` by a JSON object."""
    write_atomically(path, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`.

    Raises:
        StorageError: it is missing, too large, not JSON, or no object.
    """
    try:
        if path.stat().st_size > LARGEST_JSON:
            raise StorageError(f"{path} is too large to be what rlcli wrote.")
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise storage_error(path, error) from error
    except (ValueError, RecursionError) as error:
        raise StorageError(f"{path} is damaged: {error}.") from error
    if not isinstance(content, dict):
        raise StorageError(f"{path} is damaged: it holds no JSON object.")
    return content


def storage_error(path: Path, error: OSError) -> StorageError:
    """An OSError as one readable message."""
    if error.errno == errno.ENOSPC:
        return StorageError(f"{path}: the disk is full.")
    return StorageError(f"{path}: {error.strerror or error}.")


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
