"""Which texts of a config can have a module imported, found out without importing any."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import pytest

from rlcli.store.modules import candidates, named, origin
from tests.runs.tiny import tiny

NAMES = "from pathlib import Path\nPath('pwned').touch()\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with modules that leave a trace when imported."""
    for name in (
        "evil.py",
        "C.py",
        "127.py",
        "a b.py",
        "pack/__init__.py",
        "bare/inner.py",
        "bare/deep/in.py",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(NAMES)
    (tmp_path / "localhost").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, []),
        ({"env__id": "stranger:Env-v0"}, ["stranger"]),
        ({"env__id": "a.b:ALE/Env-v0"}, ["a.b"]),
        ({"env__id": "a:b:Env-v0"}, ["a:b"]),
        ({"env__id": "ALE/Pong-v5"}, []),
        ({"env__kwargs": {"deep": [{"inner": "evil:attribute"}], "g": -5}}, ["evil"]),
        ({"env__kwargs": {"evil:name": 1}}, ["evil"]),
        ({"env__kwargs": {"path": "a/b:c", "text": "a: b"}}, []),
        ({"env__id": "x:Y", "env__kwargs": {"a": "evil:Z", "b": "evil:W"}}, ["x", "evil"]),
    ],
)
def test_modules_a_config_names(changes: dict[str, Any], found: list[str], here: Path) -> None:
    assert named(tiny(**changes), here / "run") == found


DATA = (
    "10.0.0.1:8080", "09:30", "1:2:3", "D:\\x", "C\\:x", "localhost:8080", "[::1]:80", "http://host:80/x",
    "https://host", "file:///x", "random:uniform", "time: 5", "note: hello", ":x", "x:", "", "nowhere:Env-v0",
    "nowhere.at.all:f", "bare:x", "bare.none:x", "localhost.port:1", "..:x", "a\0b:x",
    "/etc/evil:x", "\ud800:x",
)  # fmt: skip


@pytest.mark.broken_by(
    "folders without code taken for modules",
    "store/modules.py",
    "return spec is not None and not _is_folder(spec)",
    "return spec is not None",
)
@pytest.mark.parametrize("text", DATA)
def test_texts_that_name_nothing_that_is_here_are_data(text: str, here: Path) -> None:
    assert named(tiny(env__kwargs={"x": text}), here / "run") == []


IMPORTS = (
    "evil:Evil-v0", "evil:", "evil: x", "evil:a:b", "C:\\x", "C:x", "127.0.0.1:8080", "a b:c", "pack:x",
    "pack.none:x", "bare.inner:x", "bare.deep.in:x", "antigravity:x", "idlelib.idle:x",
)  # fmt: skip


@pytest.mark.broken_by(
    "modules that texts in the arguments name left out",
    "store/modules.py",
    "if may_run(text, run_dir))",
    "if False)",
)
@pytest.mark.parametrize("text", IMPORTS)
def test_texts_that_would_run_what_is_here_name_it(text: str, here: Path) -> None:
    assert named(tiny(env__kwargs={"x": text}), here / "run") != []
    assert not (here / "pwned").exists()


@pytest.mark.parametrize("text", [*DATA, *IMPORTS])
def test_what_gymnasium_would_run_is_named(text: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`gymnasium.make(text)` in an environment leaves a trace only where the module was named."""
    if text.startswith(("antigravity", "idlelib")):
        return
    monkeypatch.syspath_prepend(here)
    before = set(sys.modules)
    with pytest.raises((Exception, SystemExit)):
        gymnasium.make(text)
    ran = (here / "pwned").exists()
    for name in set(sys.modules) - before:
        del sys.modules[name]
    importlib.invalidate_caches()
    assert not ran or named(tiny(env__kwargs={"x": text}), here / "run") != []


def test_a_module_in_the_run_directory_counts_wherever_one_stands(here: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "inside.py").touch()
    config = tiny(env__kwargs={"x": "inside:x"})
    assert named(config, run) == ["inside"]
    assert named(config, tmp_path / "other") == []


def test_a_file_that_hides_the_standard_librarys_module_counts(here: Path) -> None:
    (here / "sched.py").write_text(NAMES)
    program = (
        "import sys, pathlib; from rlcli.store.modules import may_run; "
        "print(may_run('sched', pathlib.Path('run')), 'sched' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here), *sys.path])}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert done.stdout.split() == ["True", "False"], done.stderr
    assert named(tiny(env__kwargs={"x": "sched:linear"}), here / "run") == []


def test_the_place_of_a_module_is_found_without_importing_it(here: Path) -> None:
    assert origin("evil") == here / "evil.py"
    assert origin("pack.none") == here / "pack" / "__init__.py"
    assert origin("nowhere") is None
    assert not (here / "pwned").exists()


def test_what_stands_before_each_colon_is_looked_at() -> None:
    assert candidates(tiny(env__kwargs={"x": ["a:b:c", "a:d", "e"]})) == ["a", "a:b"]
