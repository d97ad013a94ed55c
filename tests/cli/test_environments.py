"""What environments print, raise and leave behind, seen from the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Rlcli

ODD = "env=tests.envs.odd:Odd-v0"
SHORT = [
    "tuned=none", "eval.episodes=2", "algo.rollout_steps=16", "algo.minibatches=2", "algo.epochs=1",
    "env.num_envs=2", "total_steps=64", "logger=[jsonl]", "network.hidden=[4]",
]  # fmt: skip


def test_what_an_environment_prints_is_no_result(workplace: Path) -> None:
    """From Python and from C, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "rlcli", "train", "--json", "-q", ODD, "env.kwargs.deed=print", "name=one",
         *SHORT],
        capture_output=True, text=True, check=True, cwd=workplace,
        env={"PATH": "", "PYTHONPATH": str(Path(__file__).parents[2]), "WANDB_MODE": "disabled"},
    )  # fmt: skip
    [line] = done.stdout.splitlines()
    assert json.loads(line)["status"] == "finished"
    assert "from Python" in done.stderr
    assert "from C" in done.stderr


def test_an_evaluation_prints_its_figures_alone(rlcli: Rlcli) -> None:
    ended = rlcli("train", "--json", "-q", ODD, "env.kwargs.deed=print", "name=one", *SHORT)
    assert len(ended.rows()) == 1
    ended = rlcli("eval", "runs/one", "-n", "2", "--json")
    assert len(ended.rows()) == 1
    assert "from Python" in ended.err


@pytest.mark.parametrize("deed", ["exit", "unprintable", "choice"])
def test_a_run_that_an_environment_ends_is_failed(deed: str, rlcli: Rlcli, workplace: Path) -> None:
    ended = rlcli("train", "-q", ODD, f"env.kwargs.deed={deed}", "name=one", *SHORT)
    assert ended.code == 1
    assert "defect" not in ended.err
    manifest = json.loads((workplace / "runs/one/manifest.json").read_text())
    assert (manifest["status"], manifest["exit_code"]) == ("failed", 1)
    log = (workplace / "runs/one/train.log").read_text()
    assert "tests.envs.odd:Odd-v0, environment 0, step 3 of its episode 1" in log


def test_an_environment_that_moves_the_process_harms_nothing(rlcli: Rlcli, workplace: Path) -> None:
    ended = rlcli("train", "-q", ODD, "env.kwargs.deed=move", "name=one", *SHORT)
    assert ended.code == 0, ended.err
    assert Path.cwd() == workplace
    assert len((workplace / "runs/one/metrics.jsonl").read_text().splitlines()) == 2


def test_an_evaluation_that_has_no_end_is_cut_and_says_so(rlcli: Rlcli, workplace: Path) -> None:
    endless = [
        "env=tests.envs.probes:ProbeShifted-v0",
        "eval.max_steps=20",
        "eval.every=32",
        "name=one",
        *SHORT,
    ]
    ended = rlcli("train", *endless)
    assert ended.code == 0
    assert (
        ended.err.count("2 of 2 episodes did not end and were stopped after 20 steps (eval.max_steps)") == 1
    )
    log = (workplace / "runs/one/train.log").read_text()
    assert log.count("were stopped after 20 steps") == 2
    rows = [json.loads(line) for line in (workplace / "runs/one/metrics.jsonl").read_text().splitlines()]
    assert [(row["eval/cut"], row["eval/length_mean"]) for row in rows] == [(2, 20.0)] * 2
    ended = rlcli("eval", "runs/one", "-n", "3", "--max-steps", "7")
    assert "3 of them did not end and were stopped after 7 steps" in ended.out
    (row,) = rlcli("eval", "runs/one", "-n", "3", "--json").rows()
    assert (row["cut"], row["max_steps"], row["length_mean"]) == (3, 20, 20.0)


def test_no_observations_are_refused_with_stable_baselines3(rlcli: Rlcli, workplace: Path) -> None:
    pytest.importorskip("stable_baselines3")
    ended = rlcli("train", "env=tests.envs.odd:Blind-v0", "backend=sb3", *SHORT)
    assert ended.code == 2
    assert "observations of size 0" in ended.err
    assert not (workplace / "runs").exists()


def test_a_bandit_without_observations_trains_and_goes_on(rlcli: Rlcli) -> None:
    words = ["env=tests.envs.odd:Blind-v0", "env.kwargs.shape=[3,0]", "name=one", "-q", *SHORT]
    assert rlcli("train", *words).code == 0
    assert rlcli("resume", "runs/one", "total_steps=128", "-q").code == 0
