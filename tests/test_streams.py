"""Streams that fail: what writes to them goes on, and nobody else in the package writes to them."""

from __future__ import annotations

import ast
import contextlib
import errno
import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rlcli import streams
from rlcli.streams import Writer
from tests.test_imports import modules

FAILURES = [
    BrokenPipeError(errno.EPIPE, "Broken pipe"),
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.EIO, "Input/output error"),
    BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"),
    OSError(errno.EBADF, "Bad file descriptor"),
    ValueError("I/O operation on closed file."),
]
"""A closed pipe, a full disk, a terminal that is gone, a full pipe, a closed descriptor, a closed file."""


class Failing(io.StringIO):
    """A stream whose every write raises; counts them."""

    def __init__(self, error: Exception, at: str = "write") -> None:
        super().__init__()
        self.error, self.at, self.tried = error, at, 0

    def write(self, text: str) -> int:
        self.tried += 1
        if self.at == "write":
            raise self.error
        return super().write(text)

    def flush(self) -> None:
        if self.at == "flush":
            raise self.error


@pytest.mark.parametrize("at", ["write", "flush"])
@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__ + str(error)[:11])
def test_the_first_failure_switches_a_stream_off(error: Exception, at: str) -> None:
    stream = Failing(error, at)
    writer = Writer(stream)
    for _ in range(3):
        writer.line("how it goes")
    assert stream.tried == 1
    assert writer.error is error
    with pytest.raises(type(error)):
        writer.check()
    assert not writer.isatty()


def test_a_write_within_a_write_costs_one_text_alone() -> None:
    """As a signal's handler does it; Python refuses with a RuntimeError."""
    stream = Failing(RuntimeError("reentrant call"))
    writer = Writer(stream)
    writer.line("lost")
    stream.at = ""
    writer.line("shown")
    assert (stream.getvalue(), writer.error) == ("shown\n", None)


def test_letters_that_an_encoding_lacks_are_escaped() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, "ascii", write_through=True)
    Writer(stream).line("μ \x1b[2J")
    assert raw.getvalue() == rb"\u03bc \x1b[2J" + b"\n"


def test_no_stream_takes_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    streams.say("nobody hears it")
    streams.show_cursor()
    assert streams.err().error is None


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        with contextlib.suppress(OSError):
            os.close(end)


def closed(pipe: tuple[int, int]) -> None:
    os.close(pipe[0])


def full(pipe: tuple[int, int]) -> None:
    os.set_blocking(pipe[1], False)
    with contextlib.suppress(BlockingIOError):
        while os.write(pipe[1], bytes(4096)):
            pass


def full_device(pipe: tuple[int, int]) -> None:
    device = os.open("/dev/full", os.O_WRONLY)
    os.dup2(device, pipe[1])
    os.close(device)


def without(pipe: tuple[int, int]) -> None:
    os.close(pipe[1])


@pytest.mark.parametrize("buffered", [True, False])
@pytest.mark.parametrize(
    ("broken", "number"),
    [(closed, errno.EPIPE), (full, errno.EAGAIN), (full_device, errno.ENOSPC), (without, errno.EBADF)],
)
def test_a_descriptor_that_fails_leads_nowhere_from_then_on(
    broken: Any, number: int, buffered: bool, pipe: tuple[int, int]
) -> None:
    """Whoever writes there later, C code and children too, meets no error; nor does the flush at the end."""
    like = None if buffered else io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
    stream = streams.on_descriptor(pipe[1], 0.05, like)
    broken(pipe)
    print("of a library", file=stream)
    stream.flush()
    error = Writer(stream).error
    assert isinstance(error, OSError)
    assert error.errno == number
    assert str(Path(f"/proc/self/fd/{pipe[1]}").readlink()) == os.devnull
    os.write(pipe[1], b"by itself")
    stream.close()


def test_a_full_pipe_that_is_read_loses_nothing(pipe: tuple[int, int]) -> None:
    full(pipe)
    received = bytearray()

    def read() -> None:
        while piece := os.read(pipe[0], 2**16):
            received.extend(piece)

    reader = threading.Timer(0.1, read)
    reader.start()
    stream = streams.on_descriptor(pipe[1], 30.0)
    text = "".join(f"{number}\n" for number in range(100_000))
    stream.write(text)
    stream.close()
    os.close(pipe[1])
    reader.join()
    assert received.lstrip(b"\0").decode() == text


CLOSED = """
import os, sys
from rlcli.streams import prepare
prepare()
places = [os.readlink(f"/proc/self/fd/{number}") for number in range(3)]
inherited = [os.get_inheritable(number) for number in range(3)]
print("out"), print("err", file=sys.stderr), sys.stdin.read()
os.write(1, b"fd"), os.write(2, b"fd")
with open(sys.argv[1], "w") as file:
    assert file.fileno() > 2
    file.write(f"{places} {inherited}")
"""


def test_closed_standard_streams_are_no_other_files(tmp_path: Path) -> None:
    command = ["sh", "-c", '"$0" -c "$1" "$2" 0<&- >&- 2>&-', sys.executable, CLOSED, str(tmp_path / "told")]
    assert subprocess.run(command, cwd=Path(streams.__file__).parents[1]).returncode == 0
    assert (tmp_path / "told").read_text() == f"{[os.devnull] * 3} {[True] * 3}"


WRITING = {"print", "echo", "secho", "Console", "input"}
"""Calls that write to a standard stream, unless they are given another."""


def writes(source: str) -> list[str]:
    """The places of a module that use standard output or standard error by themselves."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "sys":
            if node.attr.strip("_") in ("stdout", "stderr"):
                found.append(f"line {node.lineno}: sys.{node.attr}")
        elif isinstance(node, ast.ImportFrom) and node.module == "sys":
            names = {alias.name.strip("_") for alias in node.names} & {"stdout", "stderr"}
            found += [f"line {node.lineno}: {name}" for name in names]
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func).removeprefix("typer.").removeprefix("click.")
            if name in WRITING and not any(keyword.arg == "file" for keyword in node.keywords):
                found.append(f"line {node.lineno}: {name}")
    return found


@pytest.mark.parametrize(
    "source",
    [
        "import sys\nsys.stderr.write('x')", "from sys import stdout", "print('x')", "typer.echo('x')",
        "Console(stderr=True)", "print('x', end='', file=sys.__stderr__)",
    ],
)  # fmt: skip
def test_a_write_elsewhere_is_found(source: str) -> None:
    assert len(writes(source)) == 1


def test_one_module_alone_writes_to_the_standard_streams() -> None:
    # The build of the kernels is run before anything else of rlcli is there.
    others = {name: path for name, path in modules().items() if name != "rlcli.kernels.build"}
    found = {name: writes(path.read_text()) for name, path in others.items()}
    assert {name: places for name, places in found.items() if places and name != "rlcli.streams"} == {}
