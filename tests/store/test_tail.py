"""Rows of a growing metrics.jsonl: each once, also where the file is cut, removed or made again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rlcli.errors import StorageError
from rlcli.store.tail import Tail


def row(update: int, **figures: object) -> str:
    return json.dumps({"update": update, "env_steps": 10 * update, **figures}) + "\n"


def append(folder: Path, text: str) -> None:
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(text)


def updates(tail: Tail) -> tuple[list[int], bool]:
    rows, anew = tail.read()
    return [found["update"] for found in rows], anew


def test_each_row_is_read_once_and_only_when_it_is_whole(tmp_path: Path) -> None:
    tail = Tail(tmp_path)
    assert updates(tail) == ([], False)
    append(tmp_path, row(1) + row(2)[:10])
    assert updates(tail) == ([1], False)
    assert updates(tail) == ([], False)
    append(tmp_path, row(2)[10:] + "{broken\n" + row(3))
    assert updates(tail) == ([2, 3], False)


def test_only_new_bytes_are_read(tmp_path: Path) -> None:
    """Rows before the last bytes that are compared may even be overwritten: they are not looked at."""
    append(tmp_path, "".join(row(update) for update in range(1, 200)))
    tail = Tail(tmp_path)
    assert len(tail.read().rows) == 199
    with (tmp_path / "metrics.jsonl").open("r+") as file:
        file.write("x" * 50)
    append(tmp_path, row(200))
    assert updates(tail) == ([200], False)


@pytest.mark.broken_by(
    "rows of a resumed run that was cut are read from the middle",
    "store/tail.py",
    "anew = file.read(len(self._seen)) != self._seen",
    "anew = len(file.read(len(self._seen))) < len(self._seen)",
)
def test_a_resume_that_cuts_rows_and_writes_them_again_is_noticed(tmp_path: Path) -> None:
    append(tmp_path, "".join(row(update, **{"time/learn": 0.5}) for update in range(1, 6)))
    tail = Tail(tmp_path)
    tail.read()
    kept = "".join(row(update, **{"time/learn": 0.5}) for update in range(1, 3))
    (tmp_path / "metrics.jsonl").write_text(kept)
    assert updates(tail) == ([1, 2], True)
    append(tmp_path, row(3))
    assert updates(tail) == ([3], False)
    # cut, and longer than before when it is next looked at
    (tmp_path / "metrics.jsonl").write_text(
        kept + "".join(row(u, **{"time/learn": 0.7}) for u in range(3, 9))
    )
    assert updates(tail) == ([1, 2, 3, 4, 5, 6, 7, 8], True)


def test_a_file_that_is_removed_and_made_again(tmp_path: Path) -> None:
    append(tmp_path, row(1))
    tail = Tail(tmp_path)
    tail.read()
    (tmp_path / "metrics.jsonl").unlink()
    assert updates(tail) == ([], True)
    assert updates(tail) == ([], False)
    append(tmp_path, row(7))
    assert updates(tail) == ([7], False)


def test_what_is_no_plain_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").symlink_to("/dev/zero")
    with pytest.raises(StorageError):
        Tail(tmp_path).read()
