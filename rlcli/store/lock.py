"""Lock of a run directory: the file `lock`, which names the one process that may change the directory.

The file contains the process's id, its start time (a reused id has another) and its host. The process also
has an operating system lock on the file, which ends with the process. A file of a process that no longer
exists is stale and is replaced. Neither can be checked from another host: there the lock is respected, and
the user removes the file if the process is gone.
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
"""States of a process that has exited and whose parent has not waited for it yet."""


@dataclasses.dataclass(frozen=True)
class Holder:
    """The process that a lock names."""

    pid: int
    host: str
    started: str | None
    """Its start time as the host's kernel counts it; None if unknown."""

    @property
    def here(self) -> bool:
        """Whether it runs on this host."""
        return self.host == platform.node()

    @property
    def alive(self) -> bool:
        """Whether it is alive; assumed of a process of another host."""
        return not self.here or (_exists(self.pid) and self.started == _started(self.pid))


class Lock:
    """The lock of a run directory, from construction to `release`.

    Raises:
        UserError: another process has it.
        StorageError: the directory cannot be written to.
    """

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / FILE
        self._handle: int | None = None
        while self._handle is None:
            self._handle = self._acquire()

    def release(self) -> None:
        """Releases the lock; a second call does nothing."""
        handle, self._handle = self._handle, None
        if handle is not None:
            # Removed while locked: a process that opened it meanwhile sees that it is no longer the file.
            with contextlib.suppress(OSError):
                self._path.unlink()
            os.close(handle)

    def _acquire(self) -> int | None:
        """The open, locked file; None if its owner removed it before it was locked."""
        handle = open_handle(self._path, os.O_RDWR | os.O_CREAT)
        try:
            locked = _locked_by_another(handle)
            if not _is_still(handle, self._path):
                os.close(handle)
                return None
            found = _parsed(os.pread(handle, LONGEST, 0))
            if locked or (found is not None and found.alive):
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
    """The living process that has the lock of a run directory; None if there is none."""
    found = _named(run_dir)
    return found if found is not None and found.alive else None


def _named(run_dir: Path) -> Holder | None:
    """The process that the lock of a run directory names, alive or not."""
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
    """Removes the lock of a process of another host that is known to be gone."""
    found = _named(run_dir)
    if found is not None and not found.here:
        with contextlib.suppress(OSError):
            (run_dir / FILE).unlink()


def this_process() -> Holder:
    """This process as a lock's holder."""
    return Holder(os.getpid(), platform.node(), _started(os.getpid()))


def _refusal(run_dir: Path, found: Holder | None) -> tuple[str, ...]:
    if found is None:
        return (f"{run_dir} is in use by another process.",)
    text = f"{run_dir} is in use by process {found.pid} on {found.host}."
    if found.here:
        return (f"{text} Wait until it ends, or stop it.",)
    return (f"{text} If that process is gone, remove {run_dir / FILE} and try again.",)


def _locked_by_another(handle: int) -> bool:
    """Whether another process has the operating system lock; False on a file system without locks."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _is_still(handle: int, path: Path) -> bool:
    """Whether the open file is still the one at `path`, not one removed by its holder since."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except OSError:
        return False


def _parsed(content: bytes) -> Holder | None:
    """The process named in a lock; None if it is incomplete, after a kill for example."""
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
    """Boot id and clock tick at which a process started; None if unknown, or if it has exited."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name of the program, in brackets, may hold anything; its state comes first after it, its start 20th.
    fields = status.rpartition(")")[2].split()
    return None if fields[0] in ENDED else f"{boot} {fields[19]}"
