"""`rlcli audit` on the command line: its page, its JSON, its exit code."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.cli.conftest import Rlcli, on_a_terminal

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


@pytest.mark.parametrize("written", ["null", "NaN", "1e400"])
def test_a_kl_that_is_not_finite_is_a_breach_of_its_update(
    trained: Rlcli, workplace: Path, written: str
) -> None:
    path = workplace / "runs" / "run" / "metrics.jsonl"
    first, second, third = path.read_text().splitlines()
    second = re.sub(r'("behaviour/kl_pi_mu": )[^,]+', rf"\g<1>{written}", second)
    path.write_text("\n".join((first, second, third, "")))
    ended = trained("audit", "run", "--json")
    assert ended.code == 1
    (row,) = ended.rows()
    broken = "behaviour/kl_pi_mu finite and >= 0"
    assert row["breaches"] == [{"invariant": broken, "updates": [2]}]
    assert [one["breaches"] for one in row["updates"]] == [[], [broken], []]
    assert row["updates"][1]["figures"]["behaviour/kl_pi_mu"] is None


def test_a_run_that_its_numbers_ended_is_a_breach_without_an_update(rlcli: Rlcli) -> None:
    given = ("tuned=none", "algo.learning_rate=1e30", *TINY)
    assert rlcli("train", "-q", "name=boom", *given).code == 3
    ended = rlcli("audit", "boom")
    assert ended.code == 1
    text = (
        "Update 1: the loss is not finite; a parameter is not finite; an exact KL is negative or not finite."
    )
    assert f"It did not finish: {text}\n" in ended.out
    assert "Invariant broken: an exact KL is negative or not finite: update 1\n" in ended.out
    assert ended.out.endswith("There is no update to judge.\n")
    ended = rlcli("audit", "boom", "--json")
    assert ended.code == 1
    assert {"invariant": "a parameter is not finite", "updates": [1]} in ended.rows()[0]["breaches"]


def test_the_page_has_a_line_for_every_figure(rlcli: Rlcli) -> None:
    assert (
        rlcli("train", "-q", "name=natural", "algo=trpo", "algo.minibatches=1", *TINY[:2], *TINY[4:]).code
        == 0
    )
    lines = rlcli("audit", "natural").out.splitlines()
    (row,) = rlcli("audit", "natural", "--json").rows()
    shown = {line.split()[0]: line.split()[1:] for line in lines if re.match(r"(behaviour|update)/", line)}
    assert list(shown) == list(row["figures"])
    for metric, (median, worst, update) in shown.items():
        found = row["figures"][metric]
        assert (median, worst) == (f"{found['median']:.3g}", f"{found['worst']:.3g}")
        assert int(update) == found["update"]
        assert row["updates"][int(update) - 1]["figures"][metric] == found["worst"]
    outcomes = ", ".join(f"{amount} {name}" for name, amount in row["step_outcomes"].items())
    assert f"Natural steps: {outcomes}" in lines
    assert sum(row["step_outcomes"].values()) == 3


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_the_page_fits_a_narrow_terminal(trained: Rlcli, workplace: Path, columns: int) -> None:
    path = workplace / "runs" / "run" / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for place, row in enumerate(rows):
        row |= {"update/explained_variance": -0.5, "train/return_100": 100.0 - place}
    again = [row | {"update": 3 * turn + row["update"]} for turn in range(4) for row in rows]
    path.write_text("".join(json.dumps(row) + "\n" for row in again))
    lines = on_a_terminal("audit", "run", columns=columns).splitlines()
    assert max(map(len, lines)) <= columns
    text = " ".join(" ".join(lines).split())
    assert "12 inside, 0 edge, 0 outside, 0 diverging" in text
    assert "Worst fall of the return over 100 episodes: 100.0 to 98.0 at update" in text
    assert "Realised gain over predicted, median:" in text
    assert "Try: set env.normalize_reward=true" in text


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
