"""Files are written whole or not at all, and read within bounds."""

from __future__ import annotations

import errno
import os
import resource
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rlcli.errors import StorageError
from rlcli.store import files
from rlcli.store.files import LARGEST_TEXT, LineFile, read_json, write_atomically


@pytest.fixture
def little_room() -> Iterator[None]:
    """No file may grow beyond 1000 bytes: writes fail half-way, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_write_that_fails_half_way_leaves_the_earlier_file(tmp_path: Path, little_room: None) -> None:
    path = tmp_path / "state"
    write_atomically(path, b"earlier")
    with pytest.raises(StorageError, match="state: File too large"):
        write_atomically(path, b"x" * 100_000)
    assert path.read_bytes() == b"earlier"
    assert [left.name for left in tmp_path.iterdir()] == ["state"]


def test_a_disk_full_at_the_last_moment_leaves_the_earlier_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state"
    write_atomically(path, b"earlier")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="state: the disk is full"):
        write_atomically(path, b"later")
    assert path.read_bytes() == b"earlier"
    assert [left.name for left in tmp_path.iterdir()] == ["state"]


def test_content_is_on_the_disk_before_it_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    sync, replace = os.fsync, Path.replace

    def fsync(handle: int) -> None:
        done.append("sync")
        sync(handle)

    def rename(self: Path, target: Any) -> Path:
        done.append(f"rename {self.read_bytes().decode()}")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", rename)
    write_atomically(tmp_path / "state", b"whole")
    assert done == ["sync", "rename whole", "sync"]


def test_a_folder_that_cannot_be_synced_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sync = os.fsync

    def no_folders(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        sync(handle)

    monkeypatch.setattr(os, "fsync", no_folders)
    write_atomically(tmp_path / "state", b"whole")
    assert (tmp_path / "state").read_bytes() == b"whole"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "damaged"),
        (b"{", "damaged"),
        (b"[1, 2]", "is not a JSON object"),
        (b"null", "is not a JSON object"),
        (b"\xff\xfe{}", "damaged"),
        (b"[" * 200_000, "damaged"),
        (b'{"a": ' + b"9" * 10_000 + b"}", "damaged"),
    ],
    ids=["empty", "torn", "list", "null", "not-utf8", "deep", "long-number"],
)
def test_what_is_no_json_object_is_named(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "hostile.json"
    path.write_bytes(content)
    with pytest.raises(StorageError, match=said) as caught:
        read_json(path)
    assert str(path) in str(caught.value)


def test_a_file_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.json"
    with path.open("wb") as file:
        file.truncate(LARGEST_TEXT + 1)
    with pytest.raises(StorageError, match=r"large\.json is too large"):
        read_json(path)


@pytest.mark.parametrize("kind", ["missing", "folder", "fifo"])
def test_what_is_no_file_is_named(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "thing.json"
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    with pytest.raises(StorageError, match=r"thing\.json"):
        read_json(path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_line_that_finds_no_room_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "open_append", lambda path: path.open("a"))
    log = LineFile(Path("/dev/full"))
    with pytest.raises(StorageError, match="/dev/full: the disk is full"):
        log.write("line")
    log.close()


def test_lines_survive_odd_characters(tmp_path: Path) -> None:
    log = LineFile(tmp_path / "log")
    log.write("n\u00e4chster Lauf \udcff")
    log.close()
    assert (tmp_path / "log").read_text() == "n\u00e4chster Lauf \\udcff\n"


@pytest.mark.broken_by(
    "a link followed when a file is opened",
    "plain.py",
    "flags | os.O_NOFOLLOW | os.O_NONBLOCK",
    "flags | os.O_NONBLOCK",
)
def test_a_link_is_neither_read_nor_written(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("{}")
    link = tmp_path / "link"
    link.symlink_to(outside)
    with pytest.raises(StorageError, match="link is a link"):
        read_json(link)
    with pytest.raises(StorageError, match="link is a link"):
        LineFile(link).write("text")
    (tmp_path / "state.new").symlink_to(outside)
    with pytest.raises(StorageError, match=r"state\.new is a link"):
        write_atomically(tmp_path / "state", b"content")
    assert outside.read_text() == "{}"


def test_neither_pipe_nor_device_is_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StorageError, match="not a file"):
        read_json(tmp_path / "pipe")
    with pytest.raises(StorageError, match="not a file"):
        read_json(Path("/dev/zero"))
