"""Runs tests on copies of the sources, each trial in a process of its own.

Started as a script: reads `[[directory, [test, ...]], ...]` on stdin and writes pytest's exit codes as JSON
to stdout. The libraries are loaded once and the process forked for each trial: loading them would otherwise
take most of the time. A trial's own output goes to `output.txt` in its directory.

The first job is the control, on sources that were not changed. It runs last, and only those of its tests that
failed in another trial: that each of them passes there shows that the change alone made it fail.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import sys
from pathlib import Path

import pytest

LIBRARIES = (
    "gymnasium.envs.classic_control", "gymnasium.envs.toy_text", "gymnasium.vector", "gymnasium.wrappers",
    "hydra._internal.config_loader_impl", "hydra.experimental.initialize", "hydra.core.plugins",
    "hydra.core.override_parser.overrides_parser", "omegaconf", "optuna.samplers._tpe.sampler",
    "optuna.pruners", "optuna.storages.journal", "rich.console", "rich.progress", "rich.table",
    "safetensors.torch", "stable_baselines3", "torch._dynamo", "torch.distributions", "yaml",
)  # fmt: skip
"""What the tests load besides the package, but for what is loaded in a moment."""
WRONG_SOURCES = 99
"""The exit code of a trial that imported another copy of the package."""


class Failed:
    """A plugin that notes which tests failed, one a line of a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Of a setup, a call or a teardown."""
        if report.failed:
            with self.file.open("a") as file:
                file.write(report.nodeid + "\n")


def trial(directory: Path, tests: list[str]) -> int:
    """Runs the tests in `directory`; the exit code."""
    with (directory / "output.txt").open("w") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
        os.chdir(directory)
        sys.dont_write_bytecode = True
        sys.path.insert(0, str(directory))
        code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests], [Failed(directory / "failed.txt")])
        sys.stdout.flush()
    package = Path(sys.modules["rlcli"].__file__ or "") if "rlcli" in sys.modules else Path()
    return int(code) if package.is_relative_to(directory) else WRONG_SOURCES


def failures(directory: Path) -> list[str]:
    """The tests that failed in a trial there."""
    file = directory / "failed.txt"
    return file.read_text().splitlines() if file.exists() else []


def exit_codes(jobs: list[tuple[str, list[str]]], side_by_side: int) -> list[int]:
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


def with_control(jobs: list[tuple[str, list[str]]], side_by_side: int) -> list[int]:
    """The exit codes of the control, the first, and of all others."""
    (unchanged, every), *others = jobs
    codes = exit_codes(others, side_by_side)
    failed = {test for directory, _ in others for test in failures(Path(directory))}
    return [*exit_codes([(unchanged, sorted(failed) or every)], 1), *codes]


if __name__ == "__main__":
    for name in LIBRARIES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.freeze()
    json.dump(with_control(json.load(sys.stdin), os.cpu_count() or 1), sys.stdout)
