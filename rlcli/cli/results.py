"""Standard output for results alone: whatever else prints to it, environments above all, goes to stderr.

While a verb runs, results have a stream of their own, and file descriptor 1 and `sys.stdout` lead to stderr,
so that code in C is diverted as well as `print`. They stay so until the process ends: C's own buffers may be
written out as late as that.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

_stream: TextIO | None = None


def stream() -> TextIO:
    """Where results go."""
    return _stream or sys.stdout


@contextmanager
def apart() -> Iterator[None]:
    """Keeps everything but results off stdout while the block runs."""
    global _stream
    before, printed = _stream, sys.stdout
    if printed is None:  # closed before we began
        _stream = _nowhere()
        _divert()
    else:
        _stream = _private() if _has_number(printed, 1) else printed
    if _stream is not printed:
        sys.stdout = _on_stderr()
    elif sys.stderr is not None:  # no file: a test, or a program that calls us
        sys.stdout = sys.stderr
    try:
        yield
    finally:
        if _stream is not printed:
            with contextlib.suppress(OSError, ValueError):
                _stream.close()
        else:
            sys.stdout = printed
        _stream = before


def columns() -> int:
    """Width of the terminal that results are shown on, 80 where there is none."""
    asked = os.environ.get("COLUMNS", "")
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    try:
        return os.get_terminal_size(stream().fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def silence() -> None:
    """Points the results at nothing, so that flushing them again cannot fail again."""
    with contextlib.suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, stream().fileno())
        os.close(nothing)


def _private() -> TextIO:
    """What file descriptor 1 led to, as a stream; it leads to stderr, or nowhere, from here on."""
    sys.stdout.flush()
    private = os.fdopen(
        os.dup(1),
        "w",
        encoding=sys.stdout.encoding,
        errors="replace",
        buffering=1 if sys.stdout.isatty() else -1,
    )
    _divert()
    return private


def _divert() -> None:
    """File descriptor 1 leads where 2 does; to nothing where that is closed."""
    try:
        os.dup2(2, 1)
    except OSError:
        nothing = os.open(os.devnull, os.O_WRONLY)
        if nothing != 1:
            os.dup2(nothing, 1)
            os.close(nothing)


def _on_stderr() -> TextIO:
    """A stream of its own on file descriptor 1, which leads to stderr: closing it closes nothing of ours."""
    try:
        return os.fdopen(os.dup(1), "w", encoding="utf-8", errors="backslashreplace", buffering=1)
    except OSError:
        return _nowhere()


def _nowhere() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")


def _has_number(stream: TextIO | None, number: int) -> bool:
    try:
        return stream is not None and stream.fileno() == number
    except (OSError, ValueError):  # no file, or closed
        return False
