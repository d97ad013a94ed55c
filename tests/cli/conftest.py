"""Running `rlcli` within the test's own process, in an empty directory."""

from __future__ import annotations

import fcntl
import functools
import json
import os
import pty
import re
import struct
import tempfile
import termios
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer.testing
from typer.testing import CliRunner

import rlcli as package
from rlcli.analysis import fqe, ope
from rlcli.cli.app import app
from tests import forked

ALGORITHMS = [
    "a2c", "cispo", "dppo", "impala", "impala_async", "mdpo", "offpac", "ppg", "ppo", "ppo_clip", "ppo_kl",
    "reinforce", "retrace", "spo", "trpo",
]  # fmt: skip
"""Every row there is, and every other name of one."""


# Typer makes its commands of the functions at every call, which takes longer than most of them run.
typer.testing._get_command = functools.cache(typer.testing._get_command)


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    def rows(self) -> list[dict[str, Any]]:
        """The JSON objects of stdout, one a line, and nothing else."""
        return [json.loads(line) for line in self.out.splitlines()]


Rlcli = Callable[..., Ended]


@pytest.fixture
def rlcli(workplace: Path) -> Rlcli:
    """`rlcli("train", "seed=1")` as the command would run in an empty directory."""

    def run(*words: str) -> Ended:
        ended = CliRunner().invoke(app, list(words), prog_name="rlcli")
        if ended.exception is not None and not isinstance(ended.exception, SystemExit):
            raise ended.exception
        return Ended(ended.exit_code, ended.stdout, ended.stderr)

    return run


@pytest.fixture
def quick_ope(monkeypatch: pytest.MonkeyPatch) -> None:
    """`rlcli ope` with few fits and few resamples."""
    for name, value in {"FEWEST": 2, "MOST": 2, "FIRST": 20}.items():
        monkeypatch.setattr(fqe, name, value)
    monkeypatch.setattr(ope, "RESAMPLES", 20)


def signalled(number: int, ready: Callable[[], bool], *words: str) -> Ended:
    """How a command ends, in a process of its own, that gets a signal once something is ready."""
    with (
        Path(os.devnull).open("rb") as null,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
    ):
        sources = {"PYTHONPATH": str(Path(package.__path__[0]).parent)}  # of its own processes
        streams = (null.fileno(), out.fileno(), err.fileno())
        process = forked.command(words, streams, os.environ | sources)
        deadline = time.monotonic() + 60.0
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                err.seek(0)
                pytest.fail(f"it was not ready: {err.read().decode()}")
            time.sleep(0.005)
        os.kill(process.pid, number)
        code = process.wait()
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read().decode())
    return Ended(code, *texts)


def on_a_terminal(*words: str, columns: int) -> str:
    """What a command shows on a terminal of that width."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    env = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    process = forked.command(words, (theirs, theirs, theirs), env | {"TERM": "xterm"})
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    os.close(ours)
    process.wait()
    return re.sub("\x1b\\[[0-9;]*[mK]", "", shown.decode())
