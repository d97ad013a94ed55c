"""The recorded commit with the recorded diff, in a worktree that is gone afterwards."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import rlcli
from rlcli.errors import UserError
from rlcli.runs.checkout import run_recorded_code
from rlcli.store import provenance
from tests.runs.tiny import manifest_of

SETTINGS = ("-c", "user.name=A", "-c", "user.email=a@example.org")


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *SETTINGS, *words], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A git repository with a command line of three lines, taken for that of rlcli."""
    folder = tmp_path / "repository"
    (folder / "rlcli" / "runs").mkdir(parents=True)
    (folder / "rlcli" / "cli").mkdir()
    (folder / "rlcli" / "__init__.py").write_text("WHO = 'committed'\n")
    (folder / "rlcli" / "cli" / "main.py").write_text(
        "import os, sys, time\nfrom rlcli import WHO\n"
        "def main():\n    print(WHO, sys.argv[1:], os.environ['RLCLI_RUNS'], flush=True)\n"
        "    time.sleep(60 if 'sleep' in sys.argv else 0)\n    sys.exit(7)\n"
    )
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "first")
    monkeypatch.setattr(provenance, "__file__", str(folder / "rlcli" / "store" / "provenance.py"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    yield folder
    assert git(folder, "worktree", "list").count("\n") == 0, "a worktree is left"
    assert list((tmp_path / "temporary").iterdir()) == []
    assert git(folder, "status", "--porcelain") == ""


@pytest.fixture
def run(finished: Path, repository: Path, tmp_path: Path) -> Path:
    """A run that was trained at the repository's commit."""
    folder = tmp_path / "run"
    folder.mkdir()
    shutil.copy(finished / "manifest.json", folder)
    recorded(folder, commit=git(repository, "rev-parse", "HEAD"), dirty=False, diff=None)
    return folder


def recorded(folder: Path, **code: Any) -> None:
    content = manifest_of(folder)
    content["code"] |= code
    (folder / "manifest.json").write_text(json.dumps(content))


def diff_to(repository: Path, file: str, text: str) -> bytes:
    """The diff of a change that is taken back at once."""
    (repository / file).write_text(text)
    git(repository, "add", "-A")
    found = subprocess.run(
        ["git", "-C", str(repository), "diff", "--binary", "HEAD"], capture_output=True, check=True
    )
    git(repository, "reset", "-q", "--hard")
    return found.stdout


def changed(folder: Path, diff: bytes) -> None:
    (folder / "code.diff").write_bytes(diff)
    recorded(folder, dirty=True, diff="code.diff")


def test_the_commit_is_what_runs(
    run: Path, repository: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (repository / "rlcli" / "__init__.py").write_text("WHO = 'today'\n")
    git(repository, "commit", "-qam", "second")
    said: list[str] = []
    code = run_recorded_code(run, ["reproduce", "x"], tmp_path / "runs", said.append)
    assert code == 7
    assert capfd.readouterr().out == f"committed ['reproduce', 'x'] {tmp_path / 'runs'}\n"
    assert said == [f"Running the code of commit {manifest_of(run)['code']['commit'][:12]}"]


def test_with_its_uncommitted_changes(
    run: Path, repository: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    changed(run, diff_to(repository, "rlcli/__init__.py", "WHO = 'changed'\n"))
    said: list[str] = []
    run_recorded_code(run, [], tmp_path, said.append)
    assert capfd.readouterr().out.startswith("changed []")
    assert said[0].endswith("with code.diff applied")


def test_a_file_of_the_current_directory_does_not_come_first(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rlcli").mkdir()
    (tmp_path / "rlcli" / "__init__.py").write_text("raise SystemExit(99)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(rlcli.__file__).parents[1]))
    assert run_recorded_code(run, [], tmp_path, lambda text: None) == 7
    assert capfd.readouterr().out.startswith("committed")


def new_file(path: str, text: str = "pwned") -> bytes:
    return (
        f"diff --git a/{path} b/{path}\nnew file mode 100644\nindex 0000000..1111111\n"
        f"--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+{text}\n"
    ).encode()


def link(path: str, to: str) -> bytes:
    return (
        f"diff --git a/{path} b/{path}\nnew file mode 120000\nindex 0000000..1111111\n"
        f"--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+{to}\n\\ No newline at end of file\n"
    ).encode()


@pytest.mark.parametrize(
    "diff",
    [
        new_file("../../../pwned"),
        new_file("/pwned"),
        new_file(".git/hooks/pwned"),
        new_file(".GIT/pwned"),
        link("out", "..") + new_file("out/pwned"),
        b"\xff\x00 no diff",
        b"",
    ],
    ids=["above", "root", "git", "GIT", "through a link", "bytes", "empty"],
)
def test_a_diff_stays_in_the_worktree(diff: bytes, run: Path, repository: Path, tmp_path: Path) -> None:
    changed(run, diff)
    if diff:
        with pytest.raises(UserError, match="git apply"):
            run_recorded_code(run, [], tmp_path, lambda text: None)
    else:
        assert run_recorded_code(run, [], tmp_path, lambda text: None) == 7
    assert not list(tmp_path.rglob("pwned"))
    assert not Path("/pwned").exists()


def test_hooks_of_the_repository_do_not_run(run: Path, repository: Path, tmp_path: Path) -> None:
    hook = repository / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path / 'pwned'}\n")
    hook.chmod(0o755)
    run_recorded_code(run, [], tmp_path, lambda text: None)
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ({"commit": None}, "names no commit"),
        ({"commit": "a" * 40}, "has no commit aaaa"),
        ({"dirty": True}, "too large to keep"),
    ],
)
def test_what_is_not_there_is_said(code: dict[str, Any], said: str, run: Path, tmp_path: Path) -> None:
    recorded(run, **code)
    with pytest.raises(UserError, match=said):
        run_recorded_code(run, [], tmp_path, lambda text: None)


def test_outside_of_git_is_said(run: Path, repository: Path, tmp_path: Path) -> None:
    git(repository, "rm", "-rq", "--cached", "rlcli")
    with pytest.raises(UserError, match="its git repository"):
        run_recorded_code(run, [], tmp_path, lambda text: None)
    git(repository, "reset", "-q", "--hard")


def test_code_that_cannot_be_loaded_is_said(
    run: Path, repository: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    changed(run, diff_to(repository, "rlcli/cli/main.py", "from rlcli.cli import gone\n"))
    assert run_recorded_code(run, [], tmp_path, lambda text: None) == 2
    assert "Error: the recorded code cannot be loaded" in capfd.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_leaves_nothing(
    number: signal.Signals, run: Path, repository: Path, tmp_path: Path
) -> None:
    script = (
        "import sys, tempfile; from pathlib import Path;"
        "from rlcli.runs import checkout; from rlcli.store import provenance;"
        "provenance.__file__ = sys.argv[1]; tempfile.tempdir = sys.argv[2];"
        "sys.exit(checkout.run_recorded_code(Path(sys.argv[3]), ['sleep'], Path('.'), print))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, provenance.__file__, str(tmp_path / "temporary"), str(run)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=os.environ,
    )  # fmt: skip
    assert process.stdout is not None
    while not process.stdout.readline().startswith("committed"):
        assert process.poll() is None
    time.sleep(0.1)
    process.send_signal(number)
    assert process.wait(30) != 0
    process.stdout.close()
