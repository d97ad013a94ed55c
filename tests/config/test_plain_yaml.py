"""YAML is read within bounds of size, depth and number, however its aliases are laid out."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from rlcli.config.plain_yaml import DEEPEST, LARGEST, MOST, load, read_mapping, read_yaml
from rlcli.errors import StorageError


def laughs(levels: int = 30) -> str:
    return "a0: &a0 [x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 3)}]\n" for n in range(1, levels)
    )


def merges(levels: int = 40) -> str:
    return "a0: &a0 {x: 1}\n" + "".join(
        f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, levels)
    )


BOMBS = {
    "laughs": (laughs(), f"more than {MOST:,} values"),
    "merges": (merges(), f"more than {MOST:,} values"),
    "itself": ("a: &a [*a]", "refers to itself"),
    "a mapping in itself": ("a: &a {b: *a}", "refers to itself"),
    "wide": ("a: [" + "1," * (2 * MOST) + "]", f"more than {MOST:,} values"),
    "many keys": ("".join(f"k{n}: 0\n" for n in range(MOST)), f"more than {MOST:,} values"),
    "deep": ("a: " + "[" * 10_000, f"nested deeper than {DEEPEST}"),
    "deep block": ("".join("  " * n + "k:\n" for n in range(200)), f"nested deeper than {DEEPEST}"),
    "deep questions": ("? " * 10_000, f"nested deeper than {DEEPEST}"),
    "sexagesimal": ("a: " + "1:" * 100_000 + "1", "a number is too long"),
    "digits": ("a: " + "9" * 5_000, "a number is too long"),
    "a float's digits": ("a: 0." + "9" * 5_000, "a number is too long"),
    "long": ("a: " + "x" * LARGEST, "not a configuration"),
    "an object": ("a: !!python/object/apply:os.getcwd []", "not readable"),
    "a path": ("a: !!python/object/apply:pathlib.Path [x]", "not readable"),
    "twice": ("a: 1\na: 2", "occurs twice"),
}


@pytest.mark.parametrize(("text", "said"), BOMBS.values(), ids=BOMBS.keys())
def test_what_is_out_of_bounds_is_refused_at_once(text: str, said: str) -> None:
    begun = time.process_time()
    with pytest.raises(StorageError, match=said) as caught:
        load(text, "x.yaml", aliases=True)
    assert str(caught.value).startswith("x.yaml")
    assert time.process_time() - begun < 4.0


SLOW = {
    "words": "a: " + "x " * (LARGEST // 2 - 10),
    "a comment": "# " + "x" * (LARGEST - 10),
    "escapes": 'a: "' + "\\n" * (LARGEST // 2 - 10) + '"',
    "lines": "a: |\n" + " x\n" * (LARGEST // 3 - 10),
    "values": "a: [" + "1," * (MOST - 10) + "]",
}


@pytest.mark.parametrize("text", SLOW.values(), ids=SLOW.keys())
def test_what_is_within_bounds_takes_no_longer(text: str) -> None:
    begun = time.process_time()
    load(text, "x.yaml")
    assert time.process_time() - begun < 4.0


def test_aliases_are_for_files_of_the_users_own() -> None:
    text = "a: &a {x: 1}\nb: {<<: *a, y: 2}\nc: [*a, *a]\n"
    assert read_mapping(text, "x.yaml", aliases=True) == {
        "a": {"x": 1}, "b": {"x": 1, "y": 2}, "c": [{"x": 1}, {"x": 1}]
    }  # fmt: skip
    with pytest.raises(StorageError, match=r"x\.yaml, line 1: .*anchors are not allowed"):
        read_mapping(text, "x.yaml")


def test_numbers_are_read_as_ever() -> None:
    assert load("[1, -2, 0x1F, 1_000, 1.5, 1e-3, .inf, 1:30]", "x") == [
        1, -2, 31, 1000, 1.5, 0.001, float("inf"), 90
    ]  # fmt: skip


def test_what_is_no_readable_file_is_named(tmp_path: Path) -> None:
    for name, make in {
        "pipe.yaml": os.mkfifo,
        "folder.yaml": Path.mkdir,
        "gone.yaml": lambda path: None,
        "circle.yaml": lambda path: path.symlink_to(path),
        "zero.yaml": lambda path: path.symlink_to("/dev/zero"),
        "latin.yaml": lambda path: path.write_bytes(b"a: \xe4\n"),
        "hole.yaml": lambda path: (path.touch(), os.truncate(path, 2**31)),
    }.items():
        make(tmp_path / name)  # type: ignore[operator]
        with pytest.raises(StorageError, match=name):
            read_yaml(tmp_path / name)
    (tmp_path / "real").write_text("a: 1")
    (tmp_path / "linked.yaml").symlink_to("real")
    assert read_yaml(tmp_path / "linked.yaml")[1] == {"a": 1}
