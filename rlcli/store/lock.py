"""One process at a time on a run directory: the file `lock`, which says who that is.

The file holds the process's id, its start time (a number that is given again has another) and the host.
While the process lives it also holds a lock of the operating system on the file, which goes with it. A file
left behind by a process that is gone is stale and taken over. From another host neither can be seen: there
the lock is respected, and whoever knows that the process is gone removes the file.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import platform
from pathlib import Path

from rlcli.errors import UserError
from rlcli.store.files import open_handle, storage_error

FILE = "lock"
LONGEST = 4096
"""Bytes of a lock that are read."""
ENDED = ("Z", "X")
"""States of a process whose parent has not asked for its exit code yet."""


@dataclasses.dataclass(frozen=True)
class Holder:
    """A process."""

    pid: int
    host: str
    started: str | None
    """When it started, as this host's kernel counts; None where it does not tell."""

    @property
    def here(self) -> bool:
        """Whether it is of this host."""
        return self.host == platform.node()

    @property
    def alive(self) -> bool:
        """Whether it lives; of another host nobody knows, and it is taken to."""
        return not self.here or (_exists(self.pid) and self.started == _started(self.pid))


class Lock:
    """The lock of a run directory, held from construction to `release`.

    Raises:
        UserError: another process holds it.
        StorageError: the directory cannot be written to.
    """

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / FILE
        self._handle: int | None = None
        while self._handle is None:
            self._handle = self._taken()

    def release(self) -> None:
        """Gives the directory free; again does nothing."""
        handle, self._handle = self._handle, None
        if handle is not None:
            # Removed while it is held: whoever opened it meanwhile sees that it is no longer the file.
            with contextlib.suppress(OSError):
                self._path.unlink()
            os.close(handle)

    def _taken(self) -> int | None:
        """The open file, ours; None when it was removed while we waited for it."""
        handle = open_handle(self._path, os.O_RDWR | os.O_CREAT)
        try:
            held = _locked_by_another(handle)
            if not _is_still(handle, self._path):
                os.close(handle)
                return None
            found = _parsed(os.pread(handle, LONGEST, 0))
            if held or (found is not None and found.alive):
                raise UserError(*_refusal(self._path.parent, found))
            os.ftruncate(handle, 0)
            os.pwrite(handle, json.dumps(dataclasses.asdict(this_process())).encode(), 0)
        except OSError as error:
            os.close(handle)
            raise storage_error(self._path, error) from error
        except UserError:
            os.close(handle)
            raise
        return handle


def holder(run_dir: Path) -> Holder | None:
    """The living process that holds a run directory; None when there is none."""
    found = _named(run_dir)
    return found if found is not None and found.alive else None


def _named(run_dir: Path) -> Holder | None:
    """Whom the lock of a run directory names, living or not."""
    try:
        handle = os.open(run_dir / FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        return _parsed(os.read(handle, LONGEST))
    except OSError:
        return None
    finally:
        os.close(handle)


def forget(run_dir: Path) -> None:
    """Removes the lock of a process of another host, which is known to be gone."""
    found = _named(run_dir)
    if found is not None and not found.here:
        with contextlib.suppress(OSError):
            (run_dir / FILE).unlink()


def this_process() -> Holder:
    """The holder we would be."""
    return Holder(os.getpid(), platform.node(), _started(os.getpid()))


def _refusal(run_dir: Path, found: Holder | None) -> tuple[str, ...]:
    if found is None:
        return (f"{run_dir} is in use by another process.",)
    text = f"{run_dir} is in use by process {found.pid} on {found.host}."
    if found.here:
        return (f"{text} Wait until it ends, or stop it.",)
    return (f"{text} If that process is gone, remove {run_dir / FILE} and try again.",)


def _locked_by_another(handle: int) -> bool:
    """Asks the operating system; a file system without locks has none."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _is_still(handle: int, path: Path) -> bool:
    """Whether the open file is the one of that name, not one that its holder removed since."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except OSError:
        return False


def _parsed(content: bytes) -> Holder | None:
    """Who a lock names; None when it names nobody, as one cut short by a kill."""
    try:
        found = json.loads(content)
        holder = Holder(found["pid"], found["host"], found["started"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    sound = type(holder.pid) is int and 0 < holder.pid < 2**31 and isinstance(holder.host, str)
    return holder if sound else None


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _started(pid: int) -> str | None:
    """Boot and clock tick at which a process started; None where /proc does not say, or it has ended."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name of the program, in brackets, may hold anything; its state comes first after it, its start 20th.
    fields = status.rpartition(")")[2].split()
    return None if fields[0] in ENDED else f"{boot} {fields[19]}"
