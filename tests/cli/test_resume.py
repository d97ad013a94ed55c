"""`rlcli resume` as it is typed."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.cli.conftest import Rlcli, signalled

TINY = (
    "tuned=none", "algo.rollout_steps=16", "env.num_envs=2", "network.hidden=[8]", "eval.episodes=2",
    "logger=[jsonl]", "total_steps=96", "name=mine",
)  # fmt: skip
ROOT = Path(__file__).parents[2]


@pytest.fixture
def mine(rlcli: Rlcli, workplace: Path) -> Path:
    """A run that finished."""
    assert rlcli("train", *TINY).code == 0
    return workplace / "runs" / "mine"


def test_a_finished_run_says_how_to_go_on(mine: Path, rlcli: Rlcli) -> None:
    ended = rlcli("resume", "last")
    assert ended.code == 0
    identity = json.loads((mine / "manifest.json").read_text())["id"]
    assert "It is finished, there is nothing to do." in ended.out
    assert f"rlcli resume {identity} total_steps=192" in ended.out
    [row] = rlcli("resume", "mine", "--json").rows()
    assert (row["id"], row["status"], row["updates"], row["exit_code"]) == (identity, "finished", 3, 0)


def test_more_steps(mine: Path, rlcli: Rlcli) -> None:
    ended = rlcli("resume", "mine", "total_steps=160", "--quiet")
    assert ended.code == 0
    [warning] = ended.err.splitlines()  # quiet is without progress, not without warnings
    assert warning.startswith("Warning: algo.learning_rate_schedule=linear")
    assert "ppo on CartPole-v1, seed 0: return" in ended.out
    assert "after 160 steps" in ended.out
    ended = rlcli("resume", "mine", "total_steps=192")
    assert ended.code == 0
    assert "runs/mine: Resuming after update 5 of 6, 160 steps.\n" in ended.err
    [row] = rlcli("resume", "runs/mine", "total_steps=224", "--json").rows()
    assert (row["env_steps"], row["updates"]) == (224, 7)


def test_mistakes_are_told_at_once_and_change_nothing(mine: Path, rlcli: Rlcli) -> None:
    before = {path: path.read_bytes() for path in mine.rglob("*") if path.is_file()}
    ended = rlcli("resume", "mine", "seed=1", "algo=trpo", "totl_steps=5")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.count("Error: ") == 3
    assert "A resumed run may change: total_steps, schedule_steps, tags" in ended.err
    assert {path: path.read_bytes() for path in mine.rglob("*") if path.is_file()} == before
    assert rlcli("resume", "mien").code == 2
    assert "Did you mean 'mine'?" in rlcli("resume", "mien").err
    assert rlcli("resume").code == 2


def test_explain_says_which_keys_a_resume_may_change(rlcli: Rlcli) -> None:
    assert rlcli("explain", "total_steps", "--json").rows()[0]["resume_may_change_it"] is True
    assert rlcli("explain", "algo.clip", "--json").rows()[0]["resume_may_change_it"] is False


def test_show_tells_when_a_run_was_resumed(mine: Path, rlcli: Rlcli) -> None:
    assert "resumed" not in rlcli("show", "mine").out
    rlcli("resume", "mine", "total_steps=128")
    rlcli("resume", "mine", "total_steps=160")
    assert "resumed: 2 times, after updates 3, 4; last at 20" in rlcli("show", "mine").out


def test_a_stopped_run_names_the_command_that_goes_on(workplace: Path) -> None:
    metrics = workplace / "runs" / "mine" / "metrics.jsonl"
    ended = signalled(signal.SIGINT, metrics.exists, "train", *TINY, "total_steps=1000000000")
    assert ended.code == 130
    identity = json.loads((workplace / "runs" / "mine" / "manifest.json").read_text())["id"]
    assert ended.err.endswith(f"Resume with: rlcli resume {identity}\n")
    assert ended.out == ""


def test_of_a_sweep_only_who_trains_it_can_be_said(rlcli: Rlcli, workplace: Path) -> None:
    assert rlcli("train", "-m", *TINY[:-1], "seed=0,1", "name=pair", "--quiet").code == 0
    refused = rlcli("resume", "pair", "hydra/launcher=cohort", "seed=3")
    assert refused.code == 2
    assert "cannot be changed by a resume: seed=3" in refused.err
    misspelt = rlcli("resume", "pair", "hydra/launcher=jobli")
    assert misspelt.code == 2
    assert "Did you mean 'joblib'?" in misspelt.err
    assert rlcli("resume", "pair", "hydra/launcher=cohort").code == 0
