"""Fault injection on standard streams: runs with closed, full or missing streams must be the same runs.

A way to break a stream is drawn for standard output and for standard error of each command: `rlcli train`, or
`rlcli resume` of a run that was killed. Some are sweeps with worker processes. The exit code must be 0, and
the run, to the last bit, that of a command with intact streams.
"""

from __future__ import annotations

import functools
import io
import os
import pty
import random
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from processes import Kind, ended, forked, log, stopped
from rlcli import streams
from rlcli.cli.main import main

Judge = Callable[[Kind, Path, int, str], None]
"""(sort of run, its directory, exit code, what was done): counts it as the same, lost or different."""

CLOSED = -1
STREAMS = ("stdin", "stdout", "stderr")


def _closed(_: random.Random) -> int:
    return CLOSED


def _full_disk(_: random.Random) -> int:
    return os.open("/dev/full", os.O_WRONLY)


def _nobody_reads(_: random.Random) -> int:
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def _read_for_a_while(draw: random.Random) -> int:
    reader, writer = os.pipe()
    amount = draw.randrange(2000)

    def read() -> None:
        os.read(reader, amount + 1)
        os.close(reader)

    threading.Thread(target=read, daemon=True).start()
    return writer


def _full_pipe(_: random.Random) -> int:
    _, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, bytes(2**16))
    except BlockingIOError:
        return writer


def _terminal_gone(_: random.Random) -> int:
    ours, theirs = pty.openpty()
    os.close(ours)
    return theirs


def _whole(_: random.Random) -> int:
    return os.open(os.devnull, os.O_WRONLY)


WAYS: dict[str, Callable[[random.Random], int]] = {
    "closed": _closed, "full disk": _full_disk, "nobody reads": _nobody_reads,
    "read for a while": _read_for_a_while, "full pipe": _full_pipe, "terminal gone": _terminal_gone,
    "whole": _whole,
}  # fmt: skip
"""How a stream is, from its name to its descriptor."""


def campaign(kind: Kind, trials: int, root: Path, draw: random.Random, judge: Judge) -> None:
    """So many commands with broken streams; every sixth a sweep, every second a resume."""
    root = root / "streams"
    half = root / "half"
    ended(forked(functools.partial(stopped, kind.config, half), half))
    for number in range(trials):
        out, err = draw.choice(list(WAYS)), draw.choice([way for way in WAYS if way != "whole"])
        words = ("logger=[console,jsonl]",)
        run_dir = root / f"run-{number}"
        if number % 6 == 0:
            verb, code = "sweep", _sweep(kind, run_dir, (*words, f"name=run-{number}"), (out, err), draw)
            run_dir = run_dir / "seed=0"
        elif number % 2 == 0:
            shutil.copytree(half, run_dir)
            verb, code = "resume", _command(("resume", str(run_dir), *words), run_dir, (out, err), draw)
        else:
            command = ("train", *kind.words, *words, f"name=run-{number}")
            verb, code = "train", _command(command, run_dir, (out, err), draw)
        judge(kind, run_dir, code, f"{verb}, stdout: {out}, stderr: {err}, run {number}")


def _command(words: tuple[str, ...], run_dir: Path, ways: tuple[str, str], draw: random.Random) -> int:
    """The command line in a fork of this process; its exit code."""
    return ended(forked(functools.partial(_broken, words, run_dir.parent, ways, draw), run_dir))


def _broken(words: tuple[str, ...], root: Path, ways: tuple[str, str], draw: random.Random) -> int:
    os.environ["RLCLI_RUNS"] = str(root)
    streams.PATIENCE.update({1: 0.1, 2: 0.1})
    for number, way in enumerate(ways, start=1):
        descriptor = WAYS[way](draw)
        stream: io.TextIOWrapper | None = None
        if descriptor == CLOSED:
            os.close(number)
        else:
            os.dup2(descriptor, number)
            # As Python makes them when it starts.
            stream = io.TextIOWrapper(
                io.BufferedWriter(io.FileIO(number, "wb", closefd=False)),
                encoding="ascii" if draw.random() < 0.3 else "utf-8",
                line_buffering=number == 2,
            )
        setattr(sys, STREAMS[number], stream)
    sys.argv = ["rlcli", *words]
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def _sweep(
    kind: Kind, sweep_dir: Path, words: tuple[str, ...], ways: tuple[str, str], draw: random.Random
) -> int:
    """The run with a sibling, in a worker process each; the exit code."""
    descriptors = [WAYS[way](draw) for way in ways]
    # What is closed is closed by the shell: a process that starts another cannot.
    closes = " ".join(f"{number}>&-" for number, one in enumerate(descriptors, start=1) if one == CLOSED)
    command = [
        sys.executable, "-m", "rlcli", "train", "-m", *kind.words, *words, "seed=0,1", "cohort.workers=2",
        "cohort.max_size=1",
    ]  # fmt: skip
    done = subprocess.run(
        ["sh", "-c", f'"$@" {closes}', "sh", *command],
        stdout=None if descriptors[0] == CLOSED else descriptors[0],
        stderr=None if descriptors[1] == CLOSED else descriptors[1],
        env=os.environ | {"RLCLI_RUNS": str(sweep_dir.parent)},
    )
    for one in descriptors:
        if one != CLOSED:
            os.close(one)
    log(sweep_dir / "seed=0").touch()
    return done.returncode
