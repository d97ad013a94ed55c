"""What workers go by that have no pipe to whoever started them: the file `launch` in the sweep directory.

It names the process that launched them and says whether they are to stop. They also stop, in order, when
that process is gone; on another host than theirs that cannot be seen, and they go on.
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
"""Seconds between two looks of a worker."""


class Order:
    """The launching side; as a context the file is there while it lasts."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE
        self.starter = dataclasses.asdict(this_process())
        """Who workers are started by, as plain data."""

    def __enter__(self) -> Order:
        write_json(self._path, self.starter | {"stop": False})
        return self

    def stop(self) -> None:
        """Has all workers end the update in progress and save."""
        write_json(self._path, self.starter | {"stop": True})

    def __exit__(self, *_: object) -> None:
        withdraw(self._path.parent)


def withdraw(directory: Path) -> None:
    """Removes the order of a sweep that is over, of an earlier process that was killed too."""
    with contextlib.suppress(OSError):
        (directory / FILE).unlink()


class Watcher:
    """The worker's side: ends this process in order, as SIGTERM does, once it is told to or left alone."""

    def __init__(self, directory: Path, starter: dict[str, Any]) -> None:
        self._path, self._starter = directory / FILE, starter
        self._launcher = Holder(**starter)
        self._over = threading.Event()

    @property
    def alone(self) -> bool:
        """Whether whoever launched this is gone, as far as can be seen."""
        return not self._launcher.alive

    @property
    def told_to_stop(self) -> bool:
        """Whether to stop."""
        try:
            found = read_json(self._path)
        except StorageError:  # not there any more, or another's in between
            return False
        return found == self._starter | {"stop": True}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Looks every now and then while the block runs."""
        thread = threading.Thread(target=self._watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _watch(self) -> None:
        asked = False
        while not self._over.wait(EVERY):
            if self.alone:  # after it was told to stop, that is the second signal, which ends at once
                os.kill(os.getpid(), signal.SIGTERM)
                return
            if not asked and self.told_to_stop:
                asked = True
                os.kill(os.getpid(), signal.SIGTERM)
