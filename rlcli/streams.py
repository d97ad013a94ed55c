"""Standard output and standard error: writers that survive a closed, full or missing stream.

All of rlcli writes through `out()` and `err()`: the first write that fails switches the stream off, and
`error` has the reason. `prepare` gives the whole process such streams at its start, so that the prints of
libraries and environments cannot fail either.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from rlcli.text import visible

STDIN, STDOUT, STDERR = 0, 1, 2
PATIENCE = {STDOUT: 10.0, STDERR: 1.0}
"""Seconds to wait for a non-blocking descriptor that is full: results are worth more than progress."""
SHOW_CURSOR = b"\x1b[?25h\n"


class Writer(io.TextIOBase):
    """Text stream whose writes never fail; text after the first failure is dropped."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._error: Exception | None = None

    @classmethod
    def of(cls, stream: TextIO | Writer | None) -> Writer:
        """The stream itself where it is a `Writer`, else a new writer on it."""
        return stream if isinstance(stream, Writer) else cls(stream)

    @property
    def stream(self) -> TextIO | None:
        """The stream written to."""
        return self._stream

    @property
    def error(self) -> Exception | None:
        """Error of the first write that failed, which switched the stream off; None while it is on."""
        raw = _descriptor(self._stream)
        return self._error if raw is None or raw.error is None else raw.error

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The stream's encoding."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def check(self) -> None:
        """Raises `error`, if there is one."""
        if self.error is not None:
            raise self.error

    def write(self, text: str, /) -> int:
        """Writes text; characters that the stream's encoding lacks become escapes."""
        self._try(text)
        return len(text)

    def line(self, text: str) -> None:
        """Writes text and a line end, and flushes; characters that steer a terminal become escapes."""
        self.write(visible(text) + "\n")
        self.flush()

    def flush(self) -> None:
        """Flushes the stream's buffer."""
        if self._stream is not None and self.error is None:
            with self._dropping():
                self._stream.flush()

    def isatty(self) -> bool:
        """Whether it is a terminal that can be written to."""
        try:
            return self._stream is not None and self.error is None and self._stream.isatty()
        except (OSError, ValueError):
            return False

    def fileno(self) -> int:
        """The stream's descriptor; raises `OSError` where it has none."""
        if self._stream is None:
            raise OSError(errno.EBADF, "no stream")
        return self._stream.fileno()

    @property
    def descriptor(self) -> int | None:
        """The stream's descriptor; None where it has none."""
        try:
            return self.fileno()
        except (OSError, ValueError):
            return None

    def _try(self, text: str) -> None:
        if self._stream is None or self.error is not None:
            return
        with self._dropping():
            try:
                self._stream.write(text)
            except UnicodeError:
                self._stream.write(text.encode(self.encoding, "backslashreplace").decode(self.encoding))

    @contextlib.contextmanager
    def _dropping(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError:
            return  # a signal's handler writes while another write is in progress: this text alone is lost
        except (OSError, ValueError) as error:
            self._error = error


class Descriptor(io.FileIO):
    """File descriptor whose writes never fail: the first failure redirects it to the null device.

    So later writes of buffers, other code or child processes to it cannot fail either.
    """

    def __init__(self, number: int, patience: float) -> None:
        """`patience`: seconds to wait for a non-blocking descriptor that is full."""
        super().__init__(number, "wb", closefd=False)
        self.error: OSError | None = None
        self._patience = patience

    def write(self, data: bytes | memoryview, /) -> int:  # type: ignore[override]
        """Writes all of some bytes, or drops them; their number."""
        rest = memoryview(data).cast("B")
        deadline = time.monotonic() + self._patience
        try:
            while rest:
                # None: the descriptor is non-blocking, and full.
                written: int | None = super().write(rest)
                if written is None and time.monotonic() >= deadline:
                    raise BlockingIOError(errno.EAGAIN, "it is full, and no process reads from it")
                if written is None:
                    _wait_for_room(self.fileno(), deadline - time.monotonic())
                rest = rest[written or 0 :]
        except OSError as error:
            self.error = error
            _redirect_to_null(self.fileno())
        return memoryview(data).nbytes


def _wait_for_room(number: int, seconds: float) -> None:
    poll = select.poll()
    poll.register(number, select.POLLOUT)
    poll.poll(1000 * max(0.0, seconds))


def _redirect_to_null(number: int) -> None:
    with contextlib.suppress(OSError):
        null = os.open(os.devnull, os.O_RDWR)
        if null != number:
            os.dup2(null, number)
            os.close(null)
        os.set_inheritable(number, True)


_writers: dict[str, Writer] = {}
_results: Writer | None = None


def out() -> Writer:
    """Standard output: results alone, while `prints_apart` redirects everything else."""
    return _results or _writer("stdout", sys.stdout)


def err() -> Writer:
    """Standard error as it is now: everything but results."""
    return _writer("stderr", sys.stderr)


def _writer(name: str, stream: TextIO | None) -> Writer:
    known = _writers.get(name)
    if known is None or known.stream is not stream:
        known = _writers[name] = Writer(stream)
    return known


def say(text: str) -> None:
    """Prints a line on standard error."""
    err().line(text)


def show_cursor() -> None:
    """Makes a terminal's cursor visible again; safe in a signal handler."""
    with contextlib.suppress(OSError, ValueError):
        if err().isatty():
            os.write(err().fileno(), SHOW_CURSOR)


def say_at_once(text: str) -> None:
    """Prints a line on standard error past its buffers; safe in a signal handler."""
    with contextlib.suppress(OSError, ValueError):
        os.write(err().fileno(), f"{visible(text)}\n".encode(errors="backslashreplace"))


def prepare() -> None:
    """Replaces this process's standard streams so that none is missing and no print fails.

    A closed descriptor of the three is opened on the null device: otherwise the next file opened would get
    its number, and prints would be written into that file.
    """
    closed = [number for number in (STDIN, STDOUT, STDERR) if _is_closed(number)]
    for number in closed:
        _redirect_to_null(number)
    if sys.stdin is None:
        sys.stdin = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115 (the process's own)
    sys.stdout = _prepared(sys.stdout, STDOUT, STDOUT in closed)
    sys.stderr = _prepared(sys.stderr, STDERR, STDERR in closed)


def prints_to_stderr() -> None:
    """Redirects standard output of this process, and of its children, to standard error."""
    prepare()
    os.dup2(STDERR, STDOUT)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)


@contextlib.contextmanager
def prints_apart() -> Iterator[None]:
    """Redirects all prints but results to stderr while the block runs; results reach standard output.

    Environments print, from C too. So descriptor 1 and `sys.stdout` are redirected to stderr, and results
    have a descriptor of their own. In a process of rlcli they stay so until its end: C's own buffers may be
    flushed as late as that. Where `sys.stdout` is no file (in a test, in another program), it is restored.
    """
    global _results
    printed, before = sys.stdout, _results
    raw = _descriptor(printed)
    if isinstance(printed, io.TextIOWrapper) and raw is not None and raw.fileno() == STDOUT:
        if before is None:
            printed.flush()
            _results = Writer(on_descriptor(os.dup(STDOUT), PATIENCE[STDOUT], printed))
            prints_to_stderr()
        yield
        return
    _results, sys.stdout = out(), sys.stderr
    try:
        yield
    finally:
        _results, sys.stdout = before, printed


def columns() -> int:
    """Width of the terminal for results: COLUMNS if set, else the terminal's, else 80."""
    chosen = os.environ.get("COLUMNS", "")
    if chosen.isdecimal() and int(chosen) > 0:
        return int(chosen)
    try:
        return os.get_terminal_size(out().fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def _is_closed(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return True
    return False


def _prepared(stream: TextIO | None, number: int, closed: bool) -> TextIO:
    if stream is None:  # closed when Python started; what has that number by now is somebody's file
        return on_descriptor(number if closed else os.open(os.devnull, os.O_WRONLY), PATIENCE[number])
    if not isinstance(stream, io.TextIOWrapper) or _descriptor(stream) is not None:
        return stream
    with contextlib.suppress(OSError, ValueError):
        stream.flush()
    try:
        ours = stream.fileno() == number
    except (OSError, ValueError):
        ours = False
    return on_descriptor(number, PATIENCE[number], stream) if ours else stream


def on_descriptor(number: int, patience: float, like: io.TextIOWrapper | None = None) -> TextIO:
    """A text stream on a `Descriptor`; its encoding and buffering are those of `like`."""
    raw: Any = Descriptor(number, patience)
    unbuffered = like is not None and like.write_through
    return io.TextIOWrapper(
        raw if unbuffered else io.BufferedWriter(raw),
        encoding="utf-8" if like is None else like.encoding,
        errors="replace",  # formulas have letters that an ASCII terminal lacks
        newline="\n",
        line_buffering=like is None or like.line_buffering,
        write_through=unbuffered,
    )


def _descriptor(stream: object) -> Descriptor | None:
    buffer = getattr(stream, "buffer", None)
    raw = getattr(buffer, "raw", buffer)
    return raw if isinstance(raw, Descriptor) else None
