"""Checkpoint files, their index, and which of them are kept."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from rlcli.backends.session import Checkpoint
from rlcli.errors import StorageError, UserError
from rlcli.runs.checkpoint import Checkpoints
from tests.runs.conftest import index_of


def state(update: int, size: int = 8) -> Checkpoint:
    values = torch.arange(size, dtype=torch.float32) * update
    return Checkpoint({"train.policy": values, "train.update": torch.tensor(update)}, update)


def saved(folder: Path, *updates: int, keep: int = 0) -> Checkpoints:
    checkpoints = Checkpoints(folder, keep)
    for update in updates:
        checkpoints.save(state(update), update * 100)
    return checkpoints


def files(folder: Path) -> set[str]:
    return {path.name for path in (folder / "checkpoints").iterdir()}


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    loaded = saved(tmp_path, 3).load()
    assert loaded.update == 3
    assert loaded.tensors.keys() == state(3).tensors.keys()
    for name, tensor in state(3).tensors.items():
        assert loaded.tensors[name].dtype == tensor.dtype
        assert torch.equal(loaded.tensors[name], tensor)


def test_a_file_says_what_it_is(tmp_path: Path) -> None:
    saved(tmp_path, 3)
    with safe_open(tmp_path / "checkpoints" / "3.safetensors", "pt") as file:
        assert json.loads(file.metadata()["rlcli"]) == {"version": 1, "update": 3, "env_steps": 300}


def test_the_last_two_are_kept(tmp_path: Path) -> None:
    saved(tmp_path, 1, 2, 3, 4)
    assert files(tmp_path) == {"3.safetensors", "4.safetensors", "index.json"}
    assert sorted(index_of(tmp_path)["kept"]) == ["3", "4"]


def test_every_kth_is_kept_counted_by_saves(tmp_path: Path) -> None:
    saved(tmp_path, 10, 20, 30, 40, 50, 60, keep=2)
    assert files(tmp_path) == {f"{update}.safetensors" for update in (20, 40, 50, 60)} | {"index.json"}


def test_the_best_is_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for update, best in ((1, 5.0), (2, 9.0), (3, None), (4, None), (5, None)):
        checkpoints.save(state(update), update * 100, best)
    assert files(tmp_path) == {"2.safetensors", "4.safetensors", "5.safetensors", "index.json"}
    assert checkpoints.load("best").update == 2
    assert checkpoints.best_return == 9.0
    assert checkpoints.load("last").update == 5
    assert checkpoints.load(4).update == 4


def test_saving_twice_writes_once(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 1)
    before = (tmp_path / "checkpoints" / "1.safetensors").stat().st_mtime_ns
    checkpoints.save(state(1), 100, 7.0)
    assert (tmp_path / "checkpoints" / "1.safetensors").stat().st_mtime_ns == before
    assert index_of(tmp_path)["saved"] == 1
    assert checkpoints.load("best").update == 1


def test_one_that_is_not_kept_is_a_mistake(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 1, 2, 3)
    with pytest.raises(UserError, match=r"no checkpoint 1 .* Kept are the updates 2, 3\."):
        checkpoints.load(1)
    with pytest.raises(UserError, match="no checkpoint 'best'"):
        checkpoints.load("best")
    with pytest.raises(UserError, match="None was saved yet"):
        Checkpoints(tmp_path / "other").load()


def damage(path: Path, kind: str) -> None:
    content = bytearray(path.read_bytes())
    if kind == "bit":
        content[-3] ^= 1
        path.write_bytes(content)
    elif kind == "header bit":
        content[20] ^= 1
        path.write_bytes(content)
    elif kind == "truncated":
        path.write_bytes(content[:-1])
    elif kind == "longer":
        path.write_bytes(content + b"x")
    elif kind == "empty":
        path.write_bytes(b"")
    else:
        path.unlink()


@pytest.mark.parametrize("kind", ["bit", "header bit", "truncated", "longer", "empty", "missing"])
def test_damage_is_seen_and_named(kind: str, tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 1, 2)
    damage(tmp_path / "checkpoints" / "2.safetensors", kind)
    with pytest.raises(StorageError, match=r"2\.safetensors.* Kept besides: 1\.$"):
        checkpoints.load()
    assert checkpoints.load(1).update == 1


def test_a_file_under_another_name_is_seen(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 1, 2)
    folder = tmp_path / "checkpoints"
    (folder / "2.safetensors").write_bytes((folder / "1.safetensors").read_bytes())
    index = index_of(tmp_path)
    index["kept"]["2"] = index["kept"]["1"]
    (folder / "index.json").write_text(json.dumps(index))
    with pytest.raises(StorageError, match="is the checkpoint of update 1, not of 2"):
        checkpoints.load(2)


def test_a_lost_index_is_not_taken_for_none(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 1)
    (tmp_path / "checkpoints" / "index.json").unlink()
    with pytest.raises(StorageError, match=r"index\.json is missing"):
        checkpoints.load()


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"kept": []},
        {"kept": {"../../etc/passwd": {"number": 1, "env_steps": 1, "bytes": 1, "sha256": ""}}},
        {"kept": {"9" * 5000: {"number": 1, "env_steps": 1, "bytes": 1, "sha256": ""}}},
        {"kept": {"2": {}}},
        {"kept": {"2": None}},
        {"kept": {"2": {"number": "1", "env_steps": 1, "bytes": 1, "sha256": ""}}},
        {"kept": {"2": {"number": 1, "env_steps": 1, "bytes": -1, "sha256": ""}}},
        {"kept": {"2": {"number": 1, "env_steps": 1, "bytes": 1, "sha256": 7}}},
        {"last": "2"},
        {"last": [2]},
        {"best": {}},
        {"best_return": "high"},
        {"saved": None},
        {"saved": -1},
    ],
    ids=lambda change: str(change)[:40],
)
def test_a_hostile_index_is_named(change: dict[str, object], tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 1, 2)
    path = tmp_path / "checkpoints" / "index.json"
    path.write_text(json.dumps(index_of(tmp_path) | change))
    with pytest.raises(StorageError, match=r"index\.json"):
        checkpoints.load()
    with pytest.raises(StorageError, match=r"index\.json"):
        checkpoints.save(state(3), 300)
    assert files(tmp_path) == {"1.safetensors", "2.safetensors", "index.json"}


def test_a_checkpoint_that_finds_no_room_leaves_the_earlier(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 1, 2)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        with pytest.raises(StorageError, match=r"3\.safetensors"):
            checkpoints.save(state(3, size=10_000), 300, 1e9)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert files(tmp_path) == {"1.safetensors", "2.safetensors", "index.json"}
    assert checkpoints.load().update == 2
    assert checkpoints.best_return is None


def test_an_index_that_cannot_be_written_loses_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = saved(tmp_path, 1, 2)

    def refuse(*_: object) -> None:
        raise StorageError("index.json: the disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr("rlcli.runs.index.write_json", refuse)
        with pytest.raises(StorageError, match="full"):
            checkpoints.save(state(3), 300)
    assert {checkpoints.load(1).update, checkpoints.load(2).update} == {1, 2}
    assert checkpoints.load().update == 2
    checkpoints.save(state(3), 300)
    assert checkpoints.load().update == 3
