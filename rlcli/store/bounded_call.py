"""Trial of a call in a child process with limited time and memory, before it is made in this process."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path

SECONDS = 5
"""CPU and wall-clock seconds that a call may take."""
MEMORY = 500 * 2**20
"""Bytes by which a call may make the process larger."""
TOO_LARGE = 3
"""Exit code of a child that ran out of memory."""
POLL_SECONDS = 0.002
"""Seconds between two polls of the child."""


def exceeded_limit(
    call: Callable[[], object], seconds: int | None = None, memory: int = MEMORY
) -> str | None:
    """The limit that a call exceeds, as a phrase; None if it ends within the limits, even by an exception.

    The call is made in a fork of this process, and its result is discarded: the caller makes it once more
    and gets its exception then. The child prints nothing.
    """
    seconds = SECONDS if seconds is None else seconds
    process = os.fork()
    if process == 0:
        _child(call, seconds, memory)
    status = _wait(process, seconds)
    if status is None:
        return f"takes more than {seconds} s"
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGXCPU:
        return f"takes more than {seconds} s"
    if code == TOO_LARGE:
        return f"takes more than {memory // 2**20} MB"
    if code < 0:
        return f"ends the process with signal {-code}"
    return None


def _child(call: Callable[[], object], seconds: int, memory: int) -> None:
    """Makes the call within the limits, and exits the process."""
    code = 0
    try:
        faulthandler.disable()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nothing, stream)
        _limit(resource.RLIMIT_CORE, 0)
        _limit(resource.RLIMIT_CPU, _cpu_seconds() + seconds)
        if (used := _memory_in_use()) is not None:
            _limit(resource.RLIMIT_DATA, used + memory)
        call()
    except BaseException as error:
        code = TOO_LARGE if _out_of_memory(error) else 0
    finally:
        os._exit(code)


def _limit(which: int, value: int) -> None:
    """Sets a soft limit, at most the hard limit."""
    hard = resource.getrlimit(which)[1]
    lowered = value if hard == resource.RLIM_INFINITY else min(value, hard)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(which, (lowered, hard))


def _cpu_seconds() -> int:
    """CPU seconds used so far, rounded up; on Linux a fork starts at 0."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return int(used.ru_utime + used.ru_stime) + 1


def _memory_in_use() -> int | None:
    """Bytes of data and stack of this process; None if the system does not provide it."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[5])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def _out_of_memory(error: BaseException | None) -> bool:
    """Whether an exception is a MemoryError, or was caused by one."""
    for _ in range(100):
        if error is None:
            return False
        if isinstance(error, MemoryError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _wait(process: int, seconds: int) -> int | None:
    """The exit status of a child; None if it was killed after so many seconds."""
    deadline = time.monotonic() + seconds
    try:
        while time.monotonic() < deadline:
            found, status = os.waitpid(process, os.WNOHANG)
            if found:
                return status
            time.sleep(POLL_SECONDS)
    except BaseException:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        raise
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return None
