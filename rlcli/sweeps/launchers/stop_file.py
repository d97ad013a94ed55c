"""Stop file: asks workers that have no pipe from the launching process to stop.

The file `launch` in the sweep's directory names the process that launched the workers and says whether they
are to stop. Workers also stop when that process is gone; on another host this cannot be seen, and they train
on.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rlcli.errors import StorageError
from rlcli.store.files import read_json, write_json
from rlcli.store.lock import Holder, this_process

FILE = "launch"
EVERY = 0.5
"""Seconds between two reads of a worker."""


class StopFile:
    """The launching side; as a context, the file exists for the length of the block."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE
        self.launcher = dataclasses.asdict(this_process())
        """The launching process, as plain data."""

    def __enter__(self) -> StopFile:
        write_json(self._path, self.launcher | {"stop": False})
        return self

    def stop(self) -> None:
        """Asks all workers to end the update in progress and save."""
        write_json(self._path, self.launcher | {"stop": True})

    def __exit__(self, *_: object) -> None:
        remove_stop_file(self._path.parent)


def remove_stop_file(directory: Path) -> None:
    """Removes the stop file of a sweep that has ended, also one that a killed process left."""
    with contextlib.suppress(OSError):
        (directory / FILE).unlink()


class StopWatcher:
    """The worker's side: sends this process SIGTERM once it is asked to stop or its launcher is gone."""

    def __init__(self, directory: Path, launcher: dict[str, Any]) -> None:
        self._path, self._launcher = directory / FILE, launcher
        self._holder = Holder(**launcher)
        self._ended = threading.Event()

    @property
    def launcher_gone(self) -> bool:
        """Whether the launching process is gone, as far as can be seen from this host."""
        return not self._holder.alive

    @property
    def stop_asked(self) -> bool:
        """Whether the launching process of this worker asks it to stop."""
        try:
            content = read_json(self._path)
        except StorageError:  # removed, or being replaced
            return False
        return content == self._launcher | {"stop": True}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Reads the file regularly while the block runs."""
        thread = threading.Thread(target=self._watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def _watch(self) -> None:
        asked = False
        while not self._ended.wait(EVERY):
            if self.launcher_gone:  # after a stop was asked for, this second signal ends the process at once
                os.kill(os.getpid(), signal.SIGTERM)
                return
            if not asked and self.stop_asked:
                asked = True
                os.kill(os.getpid(), signal.SIGTERM)
