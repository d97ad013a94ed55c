"""`rlcli fork`, and what `runs`, `show` and `diff` tell of a fork."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Rlcli

SMALL = ("total_steps=64", "algo.rollout_steps=8", "env.num_envs=2", "algo.epochs=1", "tuned=none",
         "logger=[jsonl]", "eval.episodes=1", "network.hidden=[4]")  # fmt: skip


def test_a_fork_and_what_is_told_of_it(rlcli: Rlcli, workplace: Path) -> None:
    [parent] = rlcli("train", *SMALL, "name=parent", "--json").rows()
    ended = rlcli("fork", "parent", "algo.learning_rate=0", "name=child")
    assert f"Fork of {parent['id']} at update 4: takes its parameters and optimiser;" in ended.err
    assert "Next: rlcli eval" in ended.out
    assert f"fork of {parent['id']}@4 learning_rate=0" in rlcli("runs").out
    assert (
        f"fork of: {parent['id']} at update 4 (runs/parent): parameters, optimiser"
        in rlcli("show", "child").out
    )
    [about] = rlcli("show", "child", "--json").rows()
    assert about["parent"]["update"] == 4
    differing = rlcli("diff", "parent", "child")
    assert (differing.code, f"{parent['id']} at update 4" in differing.out) == (1, True)
    assert rlcli("reproduce", "child").out.startswith("identical: 4 updates")
    anew = rlcli("fork", "parent", "--fresh-optimiser", "name=fresh")
    assert "takes its parameters; starts with new episodes, schedules and optimiser" in anew.err
    assert rlcli("reproduce", "fresh").out.startswith("identical: 4 updates")
    [again] = rlcli("fork", "last", "--at", "best", "--json", "name=grandchild").rows()
    assert again["status"] == "finished"


def test_a_sweep_of_forks(rlcli: Rlcli, workplace: Path) -> None:
    rlcli("train", *SMALL, "name=parent")
    rows = rlcli("fork", "parent", "-m", "seed=1,2", "name=many", "--json").rows()
    assert [row["status"] for row in rows] == ["finished", "finished"]
    assert "2 runs: fork of " in rlcli("runs").out


def test_mistakes(rlcli: Rlcli, workplace: Path) -> None:
    rlcli("train", *SMALL, "name=parent")
    before = sorted(Path("runs").iterdir())
    for words, told in (
        (("parent", "network.hidden=[8]"), "keeps its parent's network"),
        (("parent", "algo.clipp=0.1"), "Did you mean 'algo.clip'"),
        (("parent", "--at", "3"), "Nearest kept: 4."),
        (("parent", "--at", "bst"), "Did you mean 'best'?"),
        (("parnt",), "Did you mean 'parent'?"),
        (("parent", "seed=0,1"), "add -m"),
    ):
        ended = rlcli("fork", *words)
        assert (ended.code, told in ended.err, "Traceback" in ended.err) == (2, True, False), ended.err
    assert sorted(Path("runs").iterdir()) == before


def test_a_fork_is_shown_or_measured_before_it_trains(rlcli: Rlcli, workplace: Path) -> None:
    rlcli("train", *SMALL, "name=parent")
    before = sorted(Path("runs").iterdir())
    shown = rlcli("fork", "parent", "algo.clip=0.1", "--cfg", "job").out
    assert "clip: 0.1  # command line" in shown
    assert "epochs: 1  # parent" in shown
    [row] = rlcli("fork", "parent", "algo.clip=0.1", "--cfg", "job", "--json").rows()
    assert (row["config"]["algo.clip"], row["origin"]["algo.epochs"]) == (0.1, "parent")
    [cost] = rlcli("fork", "parent", "-m", "seed=1,2", "--dry-run", "--json").rows()
    assert (cost["jobs"], cost["env_steps"]) == (2, 128)
    assert rlcli("fork", "parent", "--dry-run", "--cfg", "job").code == 2
    assert sorted(Path("runs").iterdir()) == before
