"""`rlcli audit` on the command line: its page, its JSON, its exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Rlcli

TINY = (
    "total_steps=96", "algo.rollout_steps=16", "algo.epochs=2", "algo.minibatches=2", "env.num_envs=2",
    "network.hidden=[8]", "eval.every=0", "logger=[jsonl]", "eval.episodes=2",
)  # fmt: skip


@pytest.fixture
def trained(rlcli: Rlcli) -> Rlcli:
    assert rlcli("train", "-q", "name=run", *TINY).code == 0
    return rlcli


def test_a_run_is_judged(trained: Rlcli) -> None:
    ended = trained("audit", "run")
    assert ended.code == 0
    assert ended.out.startswith("run: ppo on CartPole-v1, 3 updates\n")
    assert "Invariants: all hold" in ended.out
    (row,) = trained("audit", "last", "--json").rows()
    assert [one["update"] for one in row["updates"]] == [1, 2, 3]
    assert sum(row["counts"].values()) == 3


def test_a_run_without_updates_has_no_verdict(trained: Rlcli, workplace: Path) -> None:
    (workplace / "runs" / "run" / "metrics.jsonl").write_text("")
    ended = trained("audit", "run")
    assert (ended.code, ended.out.splitlines()[-1]) == (0, "There is no update to judge.")
    assert "0 updates" in ended.out


def test_a_run_of_few_updates_gets_no_advice(trained: Rlcli) -> None:
    (row,) = trained("audit", "run", "--json").rows()
    assert row["advice"] == []


def test_a_broken_invariant_is_exit_code_1(trained: Rlcli, workplace: Path) -> None:
    path = workplace / "runs" / "run" / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[1]["behaviour/kl_mu_pi"] = -0.5
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    ended = trained("audit", "run")
    assert ended.code == 1
    assert "Invariant broken: behaviour/kl_mu_pi finite and >= 0: update 2" in ended.out


@pytest.mark.broken_by(
    "the first run is shown before the second's checkpoints are looked at",
    "cli/audit.py",
    "        check_kept(selection.runs)\n",
    "        check_kept(selection.runs[:1])\n",
)
def test_fresh_episodes_of_runs_without_checkpoints_are_refused_before_anything_is_shown(
    rlcli: Rlcli,
) -> None:
    kept = ("checkpoint.every=1", "checkpoint.keep=1", "checkpoint.seconds=0")
    assert rlcli("train", "-q", "name=kept", *kept, *TINY).code == 0
    assert rlcli("train", "-q", "name=lone", *TINY).code == 0
    ended = rlcli("audit", "kept", "lone", "--fresh", "3", "--json")
    assert (ended.code, ended.out) == (2, "")
    assert "lone keeps 1 checkpoint: gains need two" in ended.err
    (row,) = rlcli("audit", "kept", "--fresh", "3", "--json").rows()
    assert len(row["fresh"]) == 2


def test_fresh_episodes_need_two_checkpoints(trained: Rlcli) -> None:
    ended = trained("audit", "run", "--fresh", "3")
    assert ended.code == 2
    assert "gains need two" in ended.err
    assert "checkpoint.keep=1" in ended.err


def test_other_algorithms_and_the_sb3_backend(rlcli: Rlcli) -> None:
    assert (
        rlcli("train", "-q", "name=natural", "algo=trpo", "algo.minibatches=1", *TINY[:2], *TINY[4:]).code
        == 0
    )
    assert rlcli("train", "-q", "name=peer", "backend=sb3", *TINY).code == 0
    ended = rlcli("audit", "natural", "peer")
    assert ended.code == 0
    assert ended.out.count("Invariants: all hold") == 2
