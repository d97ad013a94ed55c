"""Running `rlcli` within the test's own process, in an empty directory."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from rlcli.cli.app import app

ALGORITHMS = [
    "a2c", "cispo", "dppo", "impala", "impala_async", "mdpo", "ppg", "ppo", "ppo_clip", "ppo_kl", "reinforce",
    "spo", "trpo",
]  # fmt: skip
"""Every row there is, and every other name of one."""


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


def on_a_terminal(*words: str, columns: int) -> str:
    """What a command shows on a terminal of that width."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    env = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        [sys.executable, "-m", "rlcli", *words], stdout=theirs, stderr=theirs, env=env | {"TERM": "xterm"}
    )
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
