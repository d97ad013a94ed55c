"""`rlcli reproduce` and `rlcli diff` as they are typed."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest

from tests.cli.conftest import Rlcli, on_a_terminal, signalled

SMALL = ("total_steps=64", "algo.rollout_steps=8", "env.num_envs=2", "algo.epochs=1", "tuned=none",
         "logger=[jsonl]", "eval.episodes=1", "network.hidden=[4]")  # fmt: skip


@pytest.fixture
def one(rlcli: Rlcli, workplace: Path) -> Path:
    assert rlcli("train", *SMALL, "name=one").code == 0
    return workplace / "runs" / "one"


def test_identical(one: Path, rlcli: Rlcli) -> None:
    ended = rlcli("reproduce", "last")
    assert ended.code == 0
    assert ended.out == ("identical: 4 updates, 20 digests\nSaved to runs/one-reproduction\n")
    assert ended.err == "Training 4 updates again in runs/one-reproduction\n"
    (row,) = rlcli("reproduce", "last", "--json", "--quiet", "--until", "2").rows()
    assert (row["identical"], row["updates"], row["digests"], row["until"]) == (True, 2, 10, 2)
    assert row["dir"] == "runs/one-reproduction-2", "a reproduction is not the last run"
    assert (row["run"], row["difference"], row["surroundings"]) == ("runs/one", None, [])
    assert rlcli("diff", "one", "one-reproduction").code == 0
    (about,) = rlcli("show", "one-reproduction", "--json").rows()
    assert about["reproduces"] == rlcli("show", "one", "--json").rows()[0]["id"]


def test_a_job_of_a_sweep(rlcli: Rlcli) -> None:
    assert rlcli("train", "-m", *SMALL, "seed=0,1", "name=both").code == 0
    ended = rlcli("reproduce", "both/seed=1", "--until", "1")
    assert ended.out == ("identical: 1 update, 5 digests\nSaved to runs/both-seed=1-reproduction\n")


def test_different(one: Path, rlcli: Rlcli) -> None:
    config = one / "config.yaml"
    config.write_text(config.read_text().replace("seed: 0", "seed: 5"))
    ended = rlcli("reproduce", "one")
    assert ended.code == 1
    lines = ended.out.splitlines()
    assert (
        lines[0]
        == "different: the runs differ first at update 1, in parameters, optimiser, collector, metrics"
    )
    assert lines[1] == "Packages, machine and code are as recorded."
    manifest = json.loads((one / "manifest.json").read_text())
    manifest["packages"]["torch"] = "1.0"
    (one / "manifest.json").write_text(json.dumps(manifest))
    ended = rlcli("reproduce", "one", "-q")
    assert "torch          1.0       " in ended.out
    (row,) = rlcli("reproduce", "one", "--json").rows()
    assert row["identical"] is False
    assert row["difference"]["update"] == 1
    assert row["surroundings"][0]["name"] == "torch"


def test_mistakes(one: Path, rlcli: Rlcli) -> None:
    assert "There is no run 'onne'" in rlcli("reproduce", "onne").err
    assert rlcli("reproduce", "one", "--until", "0").code == 2
    assert rlcli("reproduce").code == 2
    assert rlcli("diff", "one").code == 2
    assert "Did you mean 'one'" in rlcli("diff", "one", "onee").err
    (one / "digests.txt").unlink()
    ended = rlcli("reproduce", "one")
    assert (ended.code, ended.out) == (2, "")
    assert "there is nothing to compare with" in ended.err
    assert not (one.parent / "one-reproduction").exists()


def test_diff(one: Path, rlcli: Rlcli) -> None:
    assert rlcli("train", *SMALL, "name=two", "seed=1").code == 0
    ended = rlcli("diff", "one", "two")
    assert ended.code == 1
    lines = ended.out.splitlines()
    assert lines[:2] == ["A: runs/one", "B: runs/two"]
    assert lines[3:5] == ["affects results  A  B", "seed             0  1"]
    assert "different: the runs differ first at update 1, in parameters, optimiser" in ended.out
    assert any(line.split()[:3] == ["update", "4", "4"] for line in lines)
    (row,) = rlcli("diff", "one", "two", "--json").rows()
    assert row["same"] is False
    assert [item["name"] for item in row["differences"]["results"]] == ["seed"]
    assert row["figures"]["a"]["update"] == row["figures"]["b"]["update"] == 4
    same = rlcli("diff", "one", "one")
    assert same.code == 0
    assert "same: 4 updates are the same up to update 4, in every digest" in same.out


def test_a_narrow_terminal(one: Path, rlcli: Rlcli) -> None:
    rlcli("train", *SMALL, "name=two", "seed=1")
    shown = on_a_terminal("diff", "one", "two", columns=40)
    table = shown.partition("different: the runs differ first at")[2].splitlines()[1:]
    assert max(map(len, table)) <= 40
    assert "behaviour/ess\r\n" in shown, "a row that does not fit has lines of its own"
    assert any("A 4, B 4, B - A 0" in line for line in table)
    assert "different: the runs differ first at" in shown
    shown = on_a_terminal("reproduce", "one", columns=40)
    assert "4 of 4 updates are the same" in shown
    assert "identical: 4 updates, 20 digests" in shown


def test_ctrl_c_ends_it_with_what_was_found(rlcli: Rlcli, workplace: Path) -> None:
    assert rlcli("train", *SMALL[1:], "total_steps=4000", "checkpoint.every=0", "name=long").code == 0
    rows = workplace / "runs" / "long-reproduction" / "metrics.jsonl"
    ended = signalled(signal.SIGINT, lambda: rows.exists() and rows.stat().st_size > 0, "reproduce", "long")
    assert ended.code == 130
    assert "interrupted: " in ended.out
    assert re.search("(is|are) the same before it ended", ended.out)
    assert "Traceback" not in ended.err
