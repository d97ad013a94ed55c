"""Commands and programs in a fork of the test's own process, which has loaded the libraries already."""

from __future__ import annotations

import fcntl
import functools
import io
import os
import signal
import sys
import tempfile
import termios
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rlcli.cli.main import main
from scripts.processes import exit_after

Streams = tuple[int, int, int]
"""Descriptors of stdin, stdout and stderr."""


class Forked:
    """A call in a session of its own, on three descriptors; a terminal as its input controls it."""

    def __init__(
        self, call: Callable[[], object], argv: Sequence[str], streams: Streams, variables: Mapping[str, str]
    ) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads, which Python 3.12 minds
            self.pid = os.fork()
        if self.pid == 0:
            exit_after(functools.partial(_become, call, argv, streams, variables))
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code, once it has ended."""
        if self.returncode is None:
            found, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if found else None
        return self.returncode

    def wait(self, seconds: float = 60.0) -> int:
        """The exit code, when it ends; it is killed after so many seconds."""
        deadline = time.monotonic() + seconds
        while self.poll() is None:
            if time.monotonic() > deadline:
                self.kill()
            time.sleep(0.002)
        assert self.returncode is not None
        return self.returncode

    def kill(self) -> None:
        """Ends it at once, if it has not ended."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)


def command(words: Sequence[str], streams: Streams, variables: Mapping[str, str]) -> Forked:
    """`rlcli WORDS`."""
    return Forked(main, ["rlcli", *words], streams, variables)


def program(text: str, *arguments: str) -> tuple[int, str]:
    """Exit code and output to stderr of a program of Python's, in the current folder."""

    def run() -> None:
        exec(compile(text, "-c", "exec"), {"__name__": "__main__"})

    with tempfile.TemporaryFile() as said, Path(os.devnull).open("r+b") as null:
        streams = (null.fileno(), null.fileno(), said.fileno())
        code = Forked(run, ["-c", *arguments], streams, os.environ).wait()
        said.seek(0)
        return code, said.read().decode()


def _become(
    call: Callable[[], object], argv: Sequence[str], streams: Streams, variables: Mapping[str, str]
) -> None:
    os.setsid()
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
    if os.isatty(0):
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 (the process's own)
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(
            io.BufferedWriter(io.FileIO(number, "wb", closefd=False)), "utf-8", line_buffering=True
        )
        for number in (1, 2)
    )
    values = dict(variables)
    os.environ.clear()
    os.environ.update(values)
    sys.argv = list(argv)
    call()
