"""Directories that are removed while runs train in them: said plainly, and nothing named that is gone."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlcli.runs.recorder import Recorder
from tests.cli.conftest import Ended, Rlcli
from tests.sweeps.conftest import SMALL

Removing = Callable[..., Ended]


@pytest.fixture
def removing(rlcli: Rlcli, monkeypatch: pytest.MonkeyPatch) -> Removing:
    """`removing(folder, "train", ...)` runs a command; after the third update of a run the folder goes."""

    def run(folder: str, *words: str) -> Ended:
        record = Recorder.record

        def removed(self: Recorder, row: Any, *rest: Any) -> None:
            record(self, row, *rest)
            if row["update"] == 3:
                shutil.rmtree(folder, ignore_errors=True)

        with monkeypatch.context() as patch:
            patch.setattr(Recorder, "record", removed)
            return rlcli(*words, *SMALL, "logger=[jsonl,tensorboard]")

    return run


def test_a_run_says_that_its_directory_is_gone(removing: Removing) -> None:
    ended = removing("runs/one", "train", "-q", "name=one")
    assert ended.code == 4
    assert ended.err.splitlines() == [
        f"failed: {Path.cwd()}/runs/one/checkpoints: No such file or directory.",
        "runs/one does not exist any more: it was removed while the run trained.",
    ]
    assert ended.out == ""
    assert not Path("runs/one").exists()


def test_a_job_fails_alone(removing: Removing) -> None:
    ended = removing("runs/two/seed=0", "train", "-m", "-q", "name=two", "seed=0,1")
    assert ended.code == 1
    assert "seed=0 failed: its directory does not exist any more" in ended.err
    assert ended.err.splitlines()[-1] == (
        "It cannot be resumed: the folders of seed=0 do not exist any more."
    )
    assert "seed=1  finished" in ended.out


def test_a_sweep_says_that_its_directory_is_gone(removing: Removing) -> None:
    ended = removing("runs/two", "train", "-m", "-q", "name=two", "seed=0,1")
    assert ended.code == 4
    assert ended.err.splitlines()[-1] == (
        "Error: runs/two does not exist any more: it was removed while its jobs trained."
    )
    assert not Path("runs/two").exists()
