"""The library of kernels: what it was built from, the instruction set in use, and why there is none."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from rlcli.errors import UserError
from rlcli.kernels import build, library

SMALL = """#include "common.h"
int EXPORT(version)(void) { return 7; }
"""
"""Kernels that are compiled in a moment."""


@pytest.fixture(autouse=True)
def kernels() -> None:
    """Most of these tests build a library of their own, or none."""


@pytest.fixture
def compiler() -> tuple[str, ...]:
    """A compiler of this machine."""
    found = next(build.compilers(), None)
    if found is None:
        pytest.skip("there is no C compiler")
    return found


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Sources of small kernels."""
    path = tmp_path / "small.c"
    path.write_text(SMALL)
    return path


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The sources, in a folder where they can be changed."""
    folder = tmp_path / "source"
    shutil.copytree(build.SOURCE, folder)
    monkeypatch.setattr(build, "SOURCE", folder)
    monkeypatch.setattr(library, "SOURCE", folder)
    return folder


def test_a_library_has_the_instruction_sets_it_was_built_for(
    compiler: tuple[str, ...], small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "kernels.so"
    sets = {"plain": ()} if "plain" in build.instruction_sets(os.uname().machine) else build.ARM
    build.compile_with(compiler, target, sets=sets, kernels=small)
    found = library.load(target)
    assert found.problem is None
    monkeypatch.setattr(library, "load", lambda: found)
    assert library.available() == tuple(sets)
    assert library.version() == 7


@pytest.mark.broken_by(
    "a library older than its sources used",
    "kernels/library.py",
    "if SOURCE.is_dir() and made_from() != digest().encode():",
    "if False:",
)
def test_a_library_older_than_its_sources_counts_as_missing(
    compiler: tuple[str, ...], small: Path, copied: Path, tmp_path: Path
) -> None:
    target = tmp_path / "kernels.so"
    build.compile_with(compiler, target, sets={"plain": ()}, kernels=small)
    assert build.is_current(target)
    (copied / "common.h").write_text((copied / "common.h").read_text() + "// a change\n")
    assert not build.is_current(target)
    found = library.load(target)
    assert found.handle is None
    assert found.problem == f"the library is older than its sources: {target}"


def test_without_its_sources_a_library_is_taken_as_it_is(
    compiler: tuple[str, ...], small: Path, copied: Path, tmp_path: Path
) -> None:
    target = tmp_path / "kernels.so"
    build.compile_with(compiler, target, sets={"plain": ()}, kernels=small)
    shutil.rmtree(copied)
    assert library.load(target).problem is None


def test_what_is_no_library_has_a_reason(tmp_path: Path) -> None:
    missing, broken, other = (tmp_path / name for name in ("missing.so", "broken.so", "other.so"))
    assert library.load(missing).problem == f"no library was built: {missing} does not exist"
    broken.write_bytes(b"\x7fELF")
    assert str(library.load(broken).problem).startswith("the library cannot be loaded: ")
    shutil.copy(ctypes.CDLL("libm.so.6")._name if Path("libm.so.6").exists() else sys.executable, other)
    assert str(library.load(other).problem).startswith("the library cannot be loaded: ")


def test_a_build_replaces_the_library_at_once(compiler: tuple[str, ...], small: Path, tmp_path: Path) -> None:
    """Whoever reads or has loaded the old one has all of it; no other file is left."""
    target = tmp_path / "made" / "kernels.so"
    target.parent.mkdir()
    target.write_bytes(b"old")
    with target.open("rb") as old:
        build.compile_with(compiler, target, sets={"plain": ()}, kernels=small)
        assert old.read() == b"old"
    assert [path.name for path in target.parent.iterdir()] == ["kernels.so"]


def test_a_failed_build_leaves_the_library_and_says_why(
    compiler: tuple[str, ...], copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "kernels.so"
    target.write_bytes(b"old")
    (copied / "dispatch.c").write_text("#error broken on purpose\n")
    (copied / "kernels.c").write_text("int x;\n")
    monkeypatch.delenv(build.PREBUILT, raising=False)
    with pytest.raises(build.BuildError, match=r"a C compiler failed .*broken on purpose"):
        build.build(target)
    assert target.read_bytes() == b"old"


def test_without_a_compiler_the_build_needs_ziglang(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(build.PREBUILT, raising=False)
    monkeypatch.setattr(build, "compilers", lambda: iter(()))
    assert build.needs() == [build.WHEEL]
    with pytest.raises(build.BuildError, match="there is no C compiler"):
        build.build(tmp_path / "kernels.so")
    monkeypatch.setattr(build, "compilers", lambda: iter([("cc",)]))
    assert build.needs() == []


def test_a_library_built_elsewhere_is_copied_if_it_is_of_these_sources(
    compiler: tuple[str, ...], small: Path, copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, target = tmp_path / "given.so", tmp_path / "kernels.so"
    build.compile_with(compiler, given, sets={"plain": ()}, kernels=small)
    monkeypatch.setenv(build.PREBUILT, str(given))
    build.build(target)
    assert target.read_bytes() == given.read_bytes()
    (copied / "common.h").write_text("// a change\n")
    with pytest.raises(build.BuildError, match="not a library built from these sources"):
        build.build(target)


def test_an_unknown_instruction_set_is_refused_with_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "available", lambda: ("avx2", "plain"))
    monkeypatch.setattr(library.platform, "machine", lambda: "x86_64")
    monkeypatch.setenv(library.FORCED, "avx22")
    with pytest.raises(UserError, match=r"RLCLI_KERNEL_ISA: Unknown.*Did you mean 'avx2'\?.*avx2, plain"):
        library.instruction_set()
    monkeypatch.setenv(library.FORCED, "avx512")
    with pytest.raises(UserError, match="RLCLI_KERNEL_ISA=avx512: this processor does not run it"):
        library.instruction_set()
    monkeypatch.setenv(library.FORCED, "plain")
    assert library.instruction_set() == "plain"
    monkeypatch.delenv(library.FORCED)
    assert library.instruction_set() == "avx2"


def test_the_command_prints_what_a_build_needs() -> None:
    clean = {name: value for name, value in os.environ.items() if name != build.PREBUILT}
    command = [sys.executable, "-P", build.__file__, "--needs"]
    bare = subprocess.run(command, capture_output=True, text=True, env=clean | {"PATH": ""}, check=True)
    assert bare.stdout.strip() in ("", build.WHEEL)


def test_two_builds_at_once_do_not_disturb_each_other(
    compiler: tuple[str, ...], small: Path, tmp_path: Path
) -> None:
    target = tmp_path / "kernels.so"
    builds = [
        threading.Thread(
            target=build.compile_with,
            args=(compiler, target),
            kwargs={"sets": {"plain": ()}, "kernels": small},
        )
        for _ in range(2)
    ]
    for one in builds:
        one.start()
    for one in builds:
        one.join()
    assert build.is_current(target)
