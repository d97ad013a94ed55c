"""Checkpoint files, their index, and which of them are kept."""

from __future__ import annotations

import json
import resource
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from rlcli.backends.session import Checkpoint
from rlcli.errors import StorageError, UserError
from rlcli.store.checkpoint_file import unpack
from rlcli.store.checkpoint_index import Index, checksum
from rlcli.store.checkpoints import Checkpoints
from tests.runs.tiny import index_of


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
        said = json.loads(file.metadata()["rlcli"])
    assert said | {"rows_sha256": "", "sha256": ""} == {
        "version": 2, "update": 3, "env_steps": 300, "number": 1, "due": True, "best": None,
        "best_return": None, "owed": False, "rows": 0, "rows_sha256": "", "sha256": "",
    }  # fmt: skip


def test_one_saved_because_the_run_ended_goes_with_the_next(tmp_path: Path) -> None:
    """And what a run keeps later is what it keeps when it never stopped."""
    checkpoints = Checkpoints(tmp_path, keep=2)
    straight = Checkpoints(tmp_path / "straight", keep=2)
    (tmp_path / "straight").mkdir()
    kept = []
    for update, due in (
        (10, True),
        (13, False),
        (20, True),
        (24, False),
        (27, False),
        (30, True),
        (40, True),
    ):
        checkpoints.save(state(update), update * 100, due=due)
        if due:
            straight.save(state(update), update * 100)
        kept.append(sorted(Index.read(checkpoints.dir).kept))
    assert kept == [[10], [10, 13], [10, 20], [20, 24], [20, 27], [20, 30], [20, 30, 40]]
    assert index_of(tmp_path) == index_of(tmp_path / "straight")
    assert files(tmp_path) == files(tmp_path / "straight")


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


@pytest.mark.broken_by(
    "a final evaluation taken for one of the course",
    "store/checkpoints.py",
    "on_schedule = best_return is not None and not final",
    "on_schedule = best_return is not None",
)
def test_saving_twice_writes_once_unless_there_is_news(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 1)
    path = tmp_path / "checkpoints" / "1.safetensors"
    before = path.stat().st_mtime_ns
    checkpoints.save(state(1), 100, due=False)
    assert path.stat().st_mtime_ns == before
    checkpoints.save(state(1), 100, 7.0, final=True)
    assert path.stat().st_mtime_ns == before
    assert checkpoints.load("best").update == 1
    checkpoints.save(state(1), 100, 7.0)
    assert path.stat().st_mtime_ns > before
    assert index_of(tmp_path)["saved"] == 1
    assert checkpoints.load("best").update == 1


def test_one_that_is_not_kept_is_a_mistake(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 1, 2, 3)
    with pytest.raises(UserError, match=r"no checkpoint 1 .* Kept: 2, 3\."):
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
    rewrite(folder / "index.json", index)
    with pytest.raises(StorageError, match="is the checkpoint of update 1, not of 2"):
        checkpoints.load(2)


def rewrite(path: Path, content: dict[str, Any]) -> None:
    """An index with a checksum that is right."""
    bare = {name: value for name, value in content.items() if name != "sha256"}
    path.write_text(json.dumps(bare | {"sha256": checksum(bare)}))


def test_an_index_changed_by_a_digit_is_seen(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(state(1), 100, 5.0)
    path = tmp_path / "checkpoints" / "index.json"
    path.write_text(path.read_text().replace('"best_return": 5.0', '"best_return": 9.0'))
    with pytest.raises(StorageError, match=r"index\.json is damaged: its content does not match"):
        checkpoints.load()


def test_the_newest_whole_one_is_recovered_with_its_index(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=1)
    for update, best in ((1, 5.0), (2, None), (3, 9.0), (4, None)):
        checkpoints.save(state(update), update * 100, best)
    folder = tmp_path / "checkpoints"
    damage(folder / "4.safetensors", "bit")
    damage(folder / "3.safetensors", "truncated")
    found = checkpoints.recover()
    assert found is not None
    assert (found.checkpoint.update, found.about.best, found.about.best_return) == (2, 1, 5.0)
    assert [text.split(" is damaged")[0] for text in found.faults] == [
        str(folder / "4.safetensors"), str(folder / "3.safetensors"),
    ]  # fmt: skip
    assert files(tmp_path) == {f"{update}.safetensors" for update in (1, 2, 3, 4)} | {"index.json"}
    checkpoints.adopt(found.index)
    assert files(tmp_path) == {"1.safetensors", "2.safetensors", "index.json"}
    straight = Checkpoints(tmp_path / "straight", keep=1)
    (tmp_path / "straight").mkdir()
    for update, best in ((1, 5.0), (2, None)):
        straight.save(state(update), update * 100, best)
    assert index_of(tmp_path) == index_of(tmp_path / "straight")


@pytest.mark.parametrize("kind", ["bit", "truncated", "empty", "missing"])
def test_without_an_index_checkpoints_vouch_for_themselves(kind: str, tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=1)
    for update, best in ((1, 5.0), (2, None), (3, None)):
        checkpoints.save(state(update), update * 100, best)
    whole, path = index_of(tmp_path), tmp_path / "checkpoints" / "index.json"
    if kind == "truncated":
        path.write_bytes(path.read_bytes()[:100])
    else:
        damage(path, kind)
    found = checkpoints.recover()
    assert found is not None
    assert "index.json" in found.faults[0]
    assert found.checkpoint.update == 3
    checkpoints.adopt(found.index)
    assert index_of(tmp_path) == whole


@pytest.mark.broken_by(
    "a checkpoint's own checksum not looked at",
    "store/checkpoint_file.py",
    "hashlib.sha256(unsigned).hexdigest() != checksum",
    "len(unsigned) != len(content)",
)
def test_a_flip_of_any_bit_is_found_without_an_index(tmp_path: Path) -> None:
    saved(tmp_path, 1)
    path = tmp_path / "checkpoints" / "1.safetensors"
    content = path.read_bytes()
    assert unpack(content, path)[0].update == 1
    for place in range(0, 8 * len(content), 7):
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << place % 8
        with pytest.raises(StorageError, match=r"1\.safetensors"):
            unpack(bytes(flipped), path)
    for length in range(0, len(content), 11):
        with pytest.raises(StorageError, match=r"1\.safetensors"):
            unpack(content[:length], path)


def test_a_checkpoint_the_index_does_not_list_yet_is_used(tmp_path: Path) -> None:
    """As after a kill between the two renames."""
    checkpoints = saved(tmp_path, 1, 2)
    index = (tmp_path / "checkpoints" / "index.json").read_bytes()
    checkpoints.save(state(3), 300)
    (tmp_path / "checkpoints" / "index.json").write_bytes(index)
    found = checkpoints.recover()
    assert found is not None
    assert (found.checkpoint.update, found.faults, found.index.saved) == (3, [], 3)


def test_a_file_whose_removal_a_kill_came_before_goes(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 1, 2)
    first = (tmp_path / "checkpoints" / "1.safetensors").read_bytes()
    checkpoints.save(state(3), 300)
    (tmp_path / "checkpoints" / "1.safetensors").write_bytes(first)
    found = checkpoints.recover()
    assert found is not None
    checkpoints.adopt(found.index)
    assert files(tmp_path) == {"2.safetensors", "3.safetensors", "index.json"}


def test_when_all_are_damaged_each_is_named(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 1, 2)
    for update in (1, 2):
        damage(tmp_path / "checkpoints" / f"{update}.safetensors", "bit")
    with pytest.raises(StorageError, match=r"2\.safetensors.*1\.safetensors"):
        checkpoints.recover()
    assert Checkpoints(tmp_path / "none").recover() is None


def test_a_lost_index_is_not_taken_for_none(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 1)
    (tmp_path / "checkpoints" / "index.json").unlink()
    with pytest.raises(StorageError, match=r"index\.json is missing"):
        checkpoints.load()


KEPT: dict[str, Any] = {"number": 1, "due": True, "env_steps": 1, "bytes": 1, "sha256": ""}


@pytest.mark.parametrize(
    "change",
    [
        {"version": 3},
        {"kept": []},
        {"kept": {"../../etc/passwd": KEPT}},
        {"kept": {"9" * 5000: KEPT}},
        {"kept": {"2": {}}},
        {"kept": {"2": None}},
        {"kept": {"2": KEPT | {"number": "1"}}},
        {"kept": {"2": KEPT | {"bytes": -1}}},
        {"kept": {"2": KEPT | {"sha256": 7}}},
        {"kept": {"2": KEPT | {"due": 1}}},
        {"course_best": "2"},
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
    rewrite(path, index_of(tmp_path) | change)
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
        patch.setattr("rlcli.store.checkpoint_index.write_json", refuse)
        with pytest.raises(StorageError, match="full"):
            checkpoints.save(state(3), 300)
    assert {checkpoints.load(1).update, checkpoints.load(2).update} == {1, 2}
    assert checkpoints.load().update == 2
    checkpoints.save(state(3), 300)
    assert checkpoints.load().update == 3
