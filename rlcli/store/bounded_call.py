"""A call tried in a child process whose time and memory are bounded, before it is made in this one."""

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
"""What a call may take."""
MEMORY = 500 * 2**20
"""Bytes by which a call may make the process larger."""
TOO_LARGE = 3
"""Exit code of a child whose memory did not suffice."""
LOOK = 0.002
"""Seconds between two looks at the child."""


def excess(call: Callable[[], object], seconds: int | None = None, memory: int = MEMORY) -> str | None:
    """What is wrong with the time and memory of a call: None when it ends within bounds, however it ends.

    The call is made in a fork of this process, which gives nothing back: whoever asks makes it once more, and
    hears then what it raises. Nothing that the child prints is shown.
    """
    seconds = SECONDS if seconds is None else seconds
    process = os.fork()
    if process == 0:
        _child(call, seconds, memory)
    status = _ended(process, seconds)
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
    """Makes the call within the limits, and ends the process."""
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
        if (held := _held()) is not None:
            _limit(resource.RLIMIT_DATA, held + memory)
        call()
    except BaseException as error:
        code = TOO_LARGE if _out_of_memory(error) else 0
    finally:
        os._exit(code)


def _limit(which: int, value: int) -> None:
    """Sets a limit, as far as the one there is allows."""
    hard = resource.getrlimit(which)[1]
    lowered = value if hard == resource.RLIM_INFINITY else min(value, hard)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(which, (lowered, hard))


def _cpu_seconds() -> int:
    """CPU seconds used so far, rounded up: a fork begins at 0, other systems may count on."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return int(used.ru_utime + used.ru_stime) + 1


def _held() -> int | None:
    """Bytes of data and stack this process has; None where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[5])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def _out_of_memory(error: BaseException | None) -> bool:
    """Whether an exception is a lack of memory, or comes from one."""
    for _ in range(100):
        if error is None:
            return False
        if isinstance(error, MemoryError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _ended(process: int, seconds: int) -> int | None:
    """The status of a child, None when it had to be killed after so many seconds."""
    deadline = time.monotonic() + seconds
    try:
        while time.monotonic() < deadline:
            found, status = os.waitpid(process, os.WNOHANG)
            if found:
                return status
            time.sleep(LOOK)
    except BaseException:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        raise
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return None
