"""`rlcli runs --rm` and `--older`: what is removed, what is refused, and that nothing else is touched."""

from __future__ import annotations

import datetime
import json
import os
import pty
import shutil
from pathlib import Path

import pytest

from rlcli.errors import StorageError
from rlcli.store.lock import Lock
from tests import forked
from tests.cli.conftest import Rlcli

SMALL = ("total_steps=32", "algo.rollout_steps=8", "env.num_envs=2", "algo.epochs=1", "tuned=none",
         "logger=[jsonl]", "eval.episodes=0", "network.hidden=[4]", "--quiet")  # fmt: skip


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, a fork of it, and a sweep of two; to be copied."""
    from rlcli import fork, sweep, train

    root = tmp_path_factory.mktemp("removing") / "runs"
    words = [*SMALL[:-1], f"runs_dir={root}"]
    parent = train([*words, "name=parent"])
    fork(parent.dir, [f"runs_dir={root}", "name=child"])
    sweep([*words, "name=many", "seed=0,1"])
    return root


@pytest.fixture
def runs(made: Path, workplace: Path) -> Path:
    """The folder `runs`, with those runs in it."""
    shutil.copytree(made, workplace / "runs")
    return Path("runs")


def names(runs: Path) -> set[str]:
    return {path.name for path in runs.iterdir()}


def change(run_dir: Path, **fields: object) -> None:
    """Changes a manifest by hand."""
    path = run_dir / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_runs_and_whole_sweeps_are_removed_and_nothing_else(rlcli: Rlcli, runs: Path) -> None:
    (runs.parent / "kept").mkdir()
    ended = rlcli("runs", "--rm", "child", "runs/many", "--yes")
    assert (ended.code, names(runs)) == (0, {"parent"})
    assert "1 run and 1 sweep removed" in ended.out
    assert (runs.parent / "kept").is_dir()
    [row] = rlcli("runs", "--rm", "parent", "--yes", "--json").rows()
    assert (row["kind"], row["removed"], row["bytes"] > 10_000) == ("run", "runs/parent", True)
    assert names(runs) == set()


def test_without_a_terminal_it_says_what_would_be_removed(rlcli: Rlcli, runs: Path) -> None:
    ended = rlcli("runs", "--rm", "child", "many")
    assert ended.code == 2
    assert "runs/child: finished, " in ended.err
    assert "runs/many: finished, 2 runs, " in ended.err
    assert "confirm with --yes" in ended.err
    assert names(runs) == {"parent", "child", "many"}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "name runs or sweeps, or choose some"),
        (("parent",), "is the parent of forks: runs/child that stay"),
        (("chld",), "Did you mean 'child'?"),
        (("many/seed=0",), "remove it whole, rlcli runs --rm runs/many"),
        (("child", "nope"), "There is no run 'nope'"),
        (("/etc",), "There is no run '/etc'"),
        (("--status", "failed"), "No run or whole sweep matches"),
        (("--status", "faild"), "Did you mean 'failed'?"),
        (("--older", "soon"), "such as 30d"),
    ],
)
def test_what_is_refused(rlcli: Rlcli, runs: Path, words: tuple[str, ...], told: str) -> None:
    ended = rlcli("runs", "--rm", *words, "--yes")
    assert (ended.code, told in ended.err) == (2, True), ended.err
    assert names(runs) == {"parent", "child", "many"}


def test_a_parent_goes_with_its_forks_or_by_force(rlcli: Rlcli, runs: Path) -> None:
    assert rlcli("runs", "--rm", "parent", "--force", "--yes").code == 0
    assert rlcli("reproduce", "child").out.startswith("identical")
    assert rlcli("runs", "--rm", "child", "child-reproduction", "--yes").code == 0
    assert names(runs) == {"many"}


def test_flags_of_removal_alone(rlcli: Rlcli, runs: Path) -> None:
    assert "only with --rm" in rlcli("runs", "--yes").err
    assert "--rm give any number" in rlcli("runs", "many", "parent").err


def test_filters_choose_by_age_and_status(rlcli: Rlcli, runs: Path) -> None:
    long_ago = (datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=31)).isoformat()
    change(runs / "child", finished=long_ago)
    change(runs / "many" / "seed=0", finished=long_ago)
    assert [row["name"] for row in rlcli("runs", "--older", "30d", "--json").rows()] == ["child", "seed=0"]
    assert rlcli("runs", "--older", "32d", "--json").rows() == []
    ended = rlcli("runs", "--older", "4w", "--status", "finished", "--rm", "--yes")
    assert "runs/many stays: 1 of its 2 runs match" in ended.err
    assert names(runs) == {"parent", "many"}
    assert rlcli("runs", "--rm", "many", "--status", "finished", "--yes").code == 0
    assert names(runs) == {"parent"}


def test_a_run_in_use_needs_force(rlcli: Rlcli, runs: Path) -> None:
    lock = Lock(runs / "many" / "seed=1")
    ended = rlcli("runs", "--rm", "many", "--yes")
    assert (ended.code, "seed=1 is running" in ended.err) == (2, True)
    assert (runs / "many" / "seed=0" / "manifest.json").is_file()
    assert rlcli("runs", "--rm", "many", "--yes", "--force").code == 0
    assert "many" not in names(runs)
    lock.release()


def test_a_damaged_run_goes_by_force(rlcli: Rlcli, runs: Path) -> None:
    (runs / "child" / "manifest.json").write_text("{")
    assert "--force removes it" in rlcli("runs", "--rm", "runs/child", "--yes").err
    assert "rlcli runs --rm --force runs/child" in rlcli("runs").err
    assert rlcli("runs", "--rm", "--force", "runs/child", "--yes").code == 0
    assert "child" not in names(runs)


@pytest.mark.broken_by(
    "one obstacle keeps all that a filter chose", "cli/removing.py",
    "if faults and not (filtered and doomed):", "if faults:",
)  # fmt: skip
@pytest.mark.broken_by(
    "a parent goes although its fork stays", "cli/removing.py", "{one.dir: _orphans(one, free, found) for",
    "{one.dir: [] for",
)  # fmt: skip
def test_what_a_filter_chose_goes_as_far_as_it_can(rlcli: Rlcli, runs: Path) -> None:
    """A parent stays with its fork; named runs go all or none."""
    (runs / "child" / "thesis.txt").write_text("mine")
    named = rlcli("runs", "--rm", "child", "many", "--yes")
    assert (named.code, "Nothing was removed" in named.err, len(names(runs))) == (2, True, 3)
    ended = rlcli("runs", "--rm", "--status", "finished", "--yes")
    assert (ended.code, names(runs)) == (2, {"parent", "child"})
    assert "thesis.txt" in ended.err
    assert "runs/parent is the parent of forks: runs/child" in ended.err
    assert "The others were removed." in ended.err
    assert "Removed runs/many" in ended.out


def test_a_folder_that_cannot_be_removed_is_named_and_the_others_go(
    rlcli: Rlcli, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(folder: Path, *, force: bool) -> None:
        if folder.name == "child":
            raise StorageError("runs/child: Operation not permitted.")
        shutil.rmtree(folder)

    monkeypatch.setattr("rlcli.store.removal.remove", refusing)
    ended = rlcli("runs", "--rm", "child", "many", "--yes")
    assert (ended.code, names(runs)) == (4, {"parent", "child"})
    assert "runs/child: Operation not permitted." in ended.err
    assert "1 sweep removed" in ended.out


@pytest.mark.parametrize(
    ("keys", "code", "goes"),
    [(b"y\n", 0, True), (b"YES\n", 0, True), (b"n\n", 1, False), (b"\n", 1, False), (b"\x03", 130, False),
     (b"\x04", 1, False)],
    ids=["y", "yes", "n", "enter", "ctrl-c", "ctrl-d"],
)  # fmt: skip
def test_the_question_on_a_terminal(runs: Path, keys: bytes, code: int, goes: bool) -> None:
    ours, theirs = pty.openpty()
    with Path(os.devnull).open("w") as results:
        process = forked.command(("runs", "--rm", "child"), (theirs, results.fileno(), theirs), os.environ)
    os.close(theirs)
    shown = b""
    while b"[y/N] " not in shown:
        shown += os.read(ours, 1000)
    os.write(ours, keys)
    process.wait()
    shown += os.read(ours, 10_000)
    os.close(ours)
    assert b"runs/child: finished" in shown
    assert (process.returncode, "child" not in names(runs)) == (code, goes), shown
    assert b"Traceback" not in shown
    assert (b"Nothing was removed." in shown) == (code == 1)
