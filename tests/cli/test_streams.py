"""Commands whose standard output or standard error cannot be written: the exit code is that of the work."""

from __future__ import annotations

import errno
import io
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlcli.cli import main, output
from rlcli.loggers.panel import PanelLogger
from rlcli.sweeps import progress
from tests.runs.tiny import manifest_of, rows_of
from tests.sweeps.conftest import SMALL
from tests.test_streams import FAILURES, Failing

WORDS = (*SMALL, "logger=[console,jsonl]", "digest.every=1")
RLCLI = (sys.executable, "-m", "rlcli")

Ended = Callable[..., Any]


class Terminal(Failing):
    """A terminal that is gone."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture
def command(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Ended:
    """`command("train", "seed=1")` runs the command in this process; its exit code."""

    def run(*words: str, out: Any = None, err: Any = None) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(output, "_kept", False)
            patch.setattr(sys, "argv", ["rlcli", *words])
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            with pytest.raises(SystemExit) as end:
                main.main()
        return end.value.code or 0

    return run


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__ + str(error)[:11])
def test_no_stream_fails_a_run(error: Exception, command: Ended) -> None:
    assert command("train", "name=one", *WORDS, out=Failing(error), err=Failing(error)) == 0
    assert manifest_of(Path("runs/one"))["status"] == "finished"
    assert len(rows_of(Path("runs/one"))) == 6
    log = Path("runs/one/train.log").read_text()
    assert f"The console logger could not log a row and is switched off; training continues. {error}" in log


BROKEN = OSError(errno.EIO, "Input/output error")


def test_every_verb_goes_on_without_its_streams(command: Ended) -> None:
    """Missing ones, and ones that fail."""
    for name, streams in (("missing", {}), ("failing", {"out": Failing(BROKEN), "err": Terminal(BROKEN)})):
        assert command("train", f"name={name}", *WORDS, "total_steps=48", **streams) == 0
        assert command("resume", name, "total_steps=96", **streams) == 0
        assert command("train", "-m", f"name=sweep-{name}", "seed=0,1", *WORDS, **streams) == 0
        assert command("resume", f"sweep-{name}", **streams) == 0
        assert command("reproduce", name, **streams) == 0
        assert manifest_of(Path("runs") / name)["updates"] == 6
        assert manifest_of(Path("runs") / f"sweep-{name}" / "seed=1")["status"] == "finished"
        assert command("train", "seed=x", **streams) == 2


@pytest.mark.parametrize(
    ("error", "code"),
    [(BrokenPipeError(errno.EPIPE, ""), 0), (OSError(errno.ENOSPC, "full"), 4), (BROKEN, 4)],
)
def test_only_a_result_that_was_all_there_is_must_be_written(
    error: Exception, code: int, command: Ended
) -> None:
    """A pipe that is closed means that nobody wants more of it."""
    assert command("train", "name=one", *WORDS, out=Failing(error)) == 0
    for words in (("runs",), ("eval", "one", "-n", "1"), ("train", "--cfg", "job"), ("--version",)):
        said = Failing(error, at="")
        assert command(*words, out=Failing(error), err=said) == code, words
        assert ("cannot be written to stdout" in said.getvalue()) is (code != 0)
    assert command("eval", "nothing", out=Failing(error)) == 2


def test_a_broken_pipe_of_anything_else_is_no_success(
    command: Ended, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr("rlcli.sweeps.run.run_one", broken)
    said = Failing(BROKEN, at="")
    assert command("train", *WORDS, err=said) == 1
    assert "BrokenPipeError" in said.getvalue()


def test_a_panel_on_a_terminal_that_goes_away(command: Ended, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal(BROKEN, at="")
    drawn: list[type] = []
    for panel in (PanelLogger, progress.Panel):

        def draw(self: Any, *status: str, before: Any = panel._draw) -> None:
            terminal.at = "write"
            drawn.append(type(self))
            before(self, *status)

        monkeypatch.setattr(panel, "_draw", draw)
    assert command("train", "name=one", *WORDS, err=terminal) == 0
    terminal.at = ""
    assert command("train", "-m", "name=two", "seed=0,1", *WORDS, err=terminal) == 0
    assert set(drawn) == {PanelLogger, progress.Panel}
    assert "console logger could not" in Path("runs/one/train.log").read_text()
    assert manifest_of(Path("runs/two/seed=1"))["status"] == "finished"


def test_head_reads_three_lines_of_a_run(workplace: Path) -> None:
    command = 'set -o pipefail; "$0" -m rlcli train name=one "$@" 2>&1 | head -3'
    words = (*WORDS, "total_steps=1024")
    done = subprocess.run(["bash", "-c", command, sys.executable, *words], capture_output=True, text=True)
    assert (done.returncode, len(done.stdout.splitlines()), done.stderr) == (0, 3, "")
    assert manifest_of(Path("runs/one"))["status"] == "finished"


def test_closed_descriptors_are_no_files_of_a_run(workplace: Path) -> None:
    """A print would go into whatever file came to have its number."""
    command = ["sh", "-c", '"$0" -m rlcli train name=one "$@" 0<&- >&- 2>&-', sys.executable, *WORDS]
    assert subprocess.run(command).returncode == 0
    assert len(rows_of(Path("runs/one"))) == 6
    assert "finished" in Path("runs/one/train.log").read_text()


def test_a_sweep_on_a_terminal_that_goes_away(workplace: Path) -> None:
    ours, theirs = pty.openpty()
    words = ("train", "-m", "name=two", "seed=0,1", *WORDS, "total_steps=1024")
    process = subprocess.Popen(
        [*RLCLI, *words], stdout=theirs, stderr=theirs, env=os.environ | {"TERM": "xterm"}
    )
    os.close(theirs)
    os.read(ours, 1)
    os.close(ours)
    assert process.wait(60) == 0
    for seed in range(2):
        assert manifest_of(Path(f"runs/two/seed={seed}"))["status"] == "finished"


def test_completion_for_a_home_that_cannot_be_written_is_a_message(
    command: Ended, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Path("file").absolute()
    home.touch()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    said = io.StringIO()
    assert command("--install-completion", "bash", out=io.StringIO(), err=said) == 4
    assert said.getvalue().startswith("Error: ")
    assert "cannot be written: " in said.getvalue()
