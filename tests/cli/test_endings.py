"""Ends other than success and mistakes: defects, full disks, closed pipes, Ctrl-C."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rlcli.cli import explain
from rlcli.errors import NonFiniteError, StorageError
from tests.cli.conftest import Rlcli


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (NonFiniteError("loss is nan"), 3, "Error: loss is nan"),
        (StorageError("index.json is damaged"), 4, "Error: index.json is damaged"),
        (OSError(errno.ENOSPC, "No space left on device"), 4, "No space left"),
        (KeyboardInterrupt(), 130, "Interrupted"),
    ],
)
def test_expected_failures_have_their_codes(
    error: BaseException, code: int, said: str, rlcli: Rlcli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(explain, "_keys", fail)
    ended = rlcli("explain", "algo.clip")
    assert ended.code == code
    assert said in ended.err
    assert "Traceback" not in ended.err


def test_a_defect_leaves_its_traceback_in_a_file(
    rlcli: Rlcli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(explain, "_keys", lambda: 1 // 0)
    ended = rlcli("explain", "algo.clip")
    assert ended.code == 1
    assert "Traceback" not in ended.err
    assert "ZeroDivisionError" in ended.err
    log = Path(ended.err.split()[-1])
    assert "ZeroDivisionError" in log.read_text()


def test_a_closed_pipe_is_no_error(workplace: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "rlcli", "explain"], stdout=writer, stderr=subprocess.PIPE, text=True
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("word", ["explain", "--help"])
def test_a_full_disk_under_stdout_is_storage(word: str, workplace: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "rlcli", word], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 4
    assert done.stderr == "Error: the result cannot be written to stdout: No space left on device.\n"


def test_letters_a_terminal_lacks_are_replaced(workplace: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rlcli", "explain", "behaviour/ess"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
    )
    assert done.returncode == 0
    assert done.stdout.isascii()
