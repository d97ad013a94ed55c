"""Runs tests on copies of the sources, each trial in a process of its own.

Started as a script: reads `[[directory, [test, ...]], ...]` on stdin and writes pytest's exit codes as JSON
to stdout. torch is loaded once and the process forked for each trial, which would otherwise take most of the
time. A trial's own output goes to `output.txt` in its directory.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from pathlib import Path

import gymnasium  # noqa: F401
import pytest
import torch._dynamo
import torch.distributions  # noqa: F401

WRONG_SOURCES = 99
"""The exit code of a trial that imported another copy of the package."""


def trial(directory: Path, tests: list[str]) -> int:
    """Runs the tests in `directory`; the exit code."""
    with (directory / "output.txt").open("w") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
        os.chdir(directory)
        sys.dont_write_bytecode = True
        sys.path.insert(0, str(directory))
        code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests])
        sys.stdout.flush()
    package = Path(sys.modules["rlcli"].__file__ or "") if "rlcli" in sys.modules else Path()
    return int(code) if package.is_relative_to(directory) else WRONG_SOURCES


def all_trials(jobs: list[tuple[str, list[str]]], side_by_side: int) -> list[int]:
    """The exit codes of all trials, in their order."""
    codes = [-1] * len(jobs)
    running: dict[int, int] = {}
    waiting = list(enumerate(jobs))
    while waiting or running:
        while waiting and len(running) < side_by_side:
            number, (directory, tests) = waiting.pop(0)
            process = os.fork()
            if process == 0:
                os._exit(trial(Path(directory), tests))
            running[process] = number
        process, status = os.wait()
        codes[running.pop(process)] = os.waitstatus_to_exitcode(status)
    return codes


if __name__ == "__main__":
    gc.freeze()
    json.dump(all_trials(json.load(sys.stdin), os.cpu_count() or 1), sys.stdout)
