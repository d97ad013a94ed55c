"""Journal file of Optuna's study: append-only, one JSON event per line.

Optuna's own journal file is not used for three reasons: a line torn by a kill would be joined with the next
one and damage the study for good; its lock outlives a killed process, and others wait for it; and it follows
links. Optuna's database cannot be used on network file systems at all. Lines are read into dictionaries,
which Optuna interprets; nothing is executed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend

from rlcli.errors import StorageError
from rlcli.store.files import DEEPEST, deeper, open_handle, open_plain, storage_error, write_atomically

LARGEST = 2**28
"""Maximum bytes of a study file; a trial takes about a thousand."""
LONGEST_EVENT = 2**20
"""Maximum bytes of one line."""
BLOCK = 2**16


class Journal(BaseJournalBackend):
    """Events of a study in a file that several processes, also on several machines, append to.

    An event is written whole or not at all: the next writer cuts off a line torn by a kill, under a lock of
    the operating system, which ends with its process.

    Raises:
        StorageError: the file cannot be read or written, or is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0
        self._count = 0

    @staticmethod
    def create(path: Path) -> Journal:
        """Creates an empty file."""
        write_atomically(path, b"")
        return Journal(path)

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """The events from a number on."""
        number, offset = (self._count, self._read) if log_number_from >= self._count else (0, 0)
        for line in self._lines(offset):
            number, offset = number + 1, offset + len(line)
            if number > self._count:
                self._count, self._read = number, offset
            if number > log_number_from:
                yield self._event(line, number)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Appends events; they are on the disk when this returns."""
        content = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode()
        try:
            handle = open_handle(self._path, os.O_RDWR | os.O_APPEND)
            try:
                with contextlib.suppress(OSError):  # a file system without locks has none
                    fcntl.flock(handle, fcntl.LOCK_EX)
                os.ftruncate(handle, _whole(handle))
                while content:
                    content = content[os.write(handle, content) :]
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as error:
            raise storage_error(self._path, error) from error

    def _lines(self, offset: int) -> Iterator[bytes]:
        """Whole lines from an offset on, without a last line that is torn or being written."""
        with open_plain(self._path) as file:
            if os.fstat(file.fileno()).st_size > LARGEST:
                raise StorageError(f"{self._path} is too large to be what rlcli wrote.")
            file.seek(offset)
            while (line := file.readline(LONGEST_EVENT)).endswith(b"\n"):
                yield line
            if len(line) == LONGEST_EVENT:
                raise StorageError(f"{self._path} is damaged: one of its lines is too long to be an event.")

    def _event(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            event = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise StorageError(f"{self._path} is damaged in line {number}: {error}.") from None
        if not isinstance(event, dict) or deeper(event, DEEPEST):
            raise StorageError(f"{self._path} is damaged in line {number}: this is not an event.")
        return event


def _whole(handle: int) -> int:
    """Bytes of an open file up to the end of its last whole line."""
    end = os.fstat(handle).st_size
    while end > 0:
        start = max(0, end - BLOCK)
        found = os.pread(handle, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
