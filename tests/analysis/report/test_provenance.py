"""Commands that repeat a run, quoted for a shell; facts of manifests, and which runs share them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from rlcli.analysis.report.provenance import commands, compared, facts, manifest
from rlcli.analysis.selection import Run, select
from rlcli.store.manifest import Manifest
from scripts.report_runs import COMMIT, made_run


def made(folder: Path, overrides: list[str] | None = None, **fields: object) -> Run:
    made_run(folder, [], [{"update": 1, "env_steps": 256}], **({"overrides": overrides or []} | fields))
    (run,) = select([str(folder)], folder.parent).runs
    return run


def lines(run: Run) -> list[str | None]:
    return [one["command"] for one in commands(run, manifest(run))]


def words(line: str | None) -> list[str]:
    """The words that bash makes of a command."""
    assert line is not None
    listed = ["bash", "-c", f"printf '%s\\0' {line.replace(' && ', ' and ', 1)}"]
    return subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split("\0")[:-1]


def test_a_run_is_repeated_from_its_directory_or_from_its_settings(tmp_path: Path) -> None:
    run = made(tmp_path / "a", ["algo=ppo", "seed=3", "name=x", "sweep.sampler=tpe", "notes=it's $HOME"])
    first, checkout, anew = lines(run)
    assert words(first) == ["rlcli", "reproduce", str(run.dir)]
    assert words(checkout) == ["rlcli", "reproduce", str(run.dir), "--checkout"]
    assert words(anew) == [
        "git", "checkout", COMMIT, "and", "rlcli", "train", "algo=ppo", "seed=3", "notes=it's $HOME",
    ]  # fmt: skip


@pytest.mark.parametrize("evil", ["a\nrm -rf ~", "a\x1b[2J", "a\u202eb", "a\tb"])
def test_text_that_controls_a_terminal_gives_no_command(tmp_path: Path, evil: str) -> None:
    assert lines(made(tmp_path / "a", [f"notes={evil}"]))[-1] is None


@pytest.mark.parametrize(
    "evil", ["a; rm -rf ~", "$(rm -rf ~)", "`id`", "a' b", 'a" b', "a && b", "a\\", "!!"]
)
def test_settings_stay_one_word_of_a_shell(tmp_path: Path, evil: str) -> None:
    line = lines(made(tmp_path / "a", [f"notes={evil}"]))[-1]
    assert words(line)[-1] == f"notes={evil}"


def test_without_a_commit_there_is_none_to_check_out(tmp_path: Path) -> None:
    run = made(tmp_path / "a", ["seed=1"], code={"commit": None, "dirty": None, "diff": None})
    assert lines(run) == [f"rlcli reproduce {run.dir}", "rlcli train seed=1"]
    assert facts(manifest(run))["commit"] == "not recorded"


def test_forks_and_reproductions_are_repeated_from_their_directory_alone(tmp_path: Path) -> None:
    parent = {"id": "aaaaaaaa", "dir": "p", "update": 1, "digest": "", "carried": []}
    assert len(lines(made(tmp_path / "a", parent=parent))) == 2
    assert len(lines(made(tmp_path / "b", reproduces="aaaaaaaa"))) == 2


def test_facts_that_differ_come_first_with_their_runs(tmp_path: Path) -> None:
    runs = [made(tmp_path / "a"), made(tmp_path / "b"), made(tmp_path / "c", kernel="torch")]
    rows = compared([facts(manifest(run)) for run in runs])
    assert rows[0] == {
        "name": "kernel",
        "values": [{"text": "c (avx512)", "runs": [0, 1]}, {"text": "torch", "runs": [2]}],
    }
    assert all(len(row["values"]) == 1 for row in rows[1:])


def test_a_manifest_that_became_unreadable_gives_nothing(tmp_path: Path) -> None:
    run = made(tmp_path / "a")
    Manifest.read(run.dir)
    (run.dir / "manifest.json").write_text("{")
    assert facts(manifest(run)) == {}
    assert len(commands(run, manifest(run))) == 1
