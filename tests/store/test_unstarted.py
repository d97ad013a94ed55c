"""Folders left by processes that were killed before there was a run: listed, explained, and used again."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from rlcli.config.serialise import to_yaml
from rlcli.errors import UserError
from rlcli.runs.train import train
from rlcli.store.directory import find_run, list_runs, new_run_dir, new_sweep_dir
from rlcli.store.lock import Lock
from rlcli.store.unstarted import is_unstarted
from tests.runs.tiny import tiny

STALE = json.dumps({"pid": 2**22 + 1, "host": os.uname().nodename, "started": "x"})
CONFIG = to_yaml(tiny())


def job(folder: Path) -> None:
    (folder / "seed=1").mkdir()
    (folder / "seed=1" / "config.yaml").write_text(CONFIG)


LEFT: dict[str, Callable[[Path], object]] = {
    "nothing": lambda folder: None,
    "a lock": lambda folder: (folder / "lock").write_text(STALE),
    "half a config": lambda folder: (folder / "config.yaml.new").write_text(CONFIG[:40]),
    "a config": lambda folder: (folder / "config.yaml").write_text(CONFIG),
    "changes of code": lambda folder: (folder / "code.diff").write_text("diff"),
    "half a manifest": lambda folder: (folder / "manifest.json.new").write_text("{"),
    "jobs of a sweep": job,
}
KEPT: dict[str, Callable[[Path], object]] = {
    "a file of somebody's": lambda folder: (folder / "notes.txt").write_text("mine"),
    "a config written by hand": lambda folder: (folder / "config.yaml").write_text("# mine\nseed: 3\n"),
    "rows": lambda folder: (folder / "metrics.jsonl").write_text("{}\n"),
    "a run": lambda folder: (folder / "manifest.json").write_text("{}"),
    "a link": lambda folder: (folder / "config.yaml").symlink_to("/etc/hostname"),
    "checkpoints": lambda folder: (folder / "checkpoints" / "1").mkdir(parents=True),
    "a job's rows": lambda folder: (job(folder), (folder / "seed=1" / "metrics.jsonl").write_text("{}\n")),
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    return tmp_path / "runs"


@pytest.mark.parametrize("leave", LEFT.values(), ids=LEFT.keys())
def test_what_a_kill_left_is_known_and_free_again(leave: Callable[[Path], object], root: Path) -> None:
    leave(root / "mine")
    [listed] = list_runs(root)
    assert (listed["name"], listed["status"]) == ("mine", "not begun")
    for reference in ("mine", str(root / "mine")):
        with pytest.raises(UserError, match="killed before it started") as caught:
            find_run(reference, root)
        assert "rlcli train name=mine" in str(caught.value.hint)
    assert new_run_dir(tiny(name="mine"), root) == root / "mine"
    assert list((root / "mine").iterdir()) == []
    leave(root / "mine")
    assert new_sweep_dir(tiny(name="mine"), root) == root / "mine"


def test_an_empty_folder_elsewhere_is_not_taken_for_a_killed_run(root: Path) -> None:
    empty = root.parent / "empty"
    empty.mkdir()
    with pytest.raises(UserError, match=r"There is no run or sweep in .*empty"):
        find_run(str(empty), root)


def test_it_trains_there(root: Path) -> None:
    LEFT["a config"](root / "mine")
    [result] = train([tiny(seed=5)], [new_run_dir(tiny(name="mine"), root)], quiet=True)
    assert (result.status, list_runs(root)[0]["seed"]) == ("finished", 5)


@pytest.mark.parametrize("make", KEPT.values(), ids=KEPT.keys())
def test_what_is_worth_anything_is_kept(make: Callable[[Path], object], root: Path) -> None:
    make(root / "mine")
    before = sorted(root.rglob("*"))
    with pytest.raises(UserError, match="name=mine is taken"):
        new_run_dir(tiny(name="mine"), root)
    assert sorted(root.rglob("*")) == before
    assert [run["status"] for run in list_runs(root)] in ([], ["damaged"])


def test_a_process_that_is_about_to_begin_is_not_disturbed(root: Path) -> None:
    lock = Lock(root / "mine")
    assert not is_unstarted(root / "mine")
    with pytest.raises(UserError, match="name=mine is taken"):
        new_run_dir(tiny(name="mine"), root)
    lock.release()
    assert is_unstarted(root / "mine")


def test_folders_within_a_run_or_a_sweep_are_none(root: Path) -> None:
    (root / "sweep.json").write_text("{}")
    assert list_runs(root) == []
    assert not is_unstarted(root / "nowhere")
