"""From `rlcli train` to what it leaves behind and what the other verbs tell of it; small, but real runs."""

from __future__ import annotations

import signal
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import yaml

import rlcli as package
from rlcli.backends.kernel import decided
from rlcli.config.compose import compose
from rlcli.config.serialise import from_yaml
from rlcli.envs import registry
from rlcli.errors import UserError
from tests.cli.conftest import Ended, Rlcli, on_a_terminal, signalled

SMALL = ("total_steps=64", "algo.rollout_steps=8", "env.num_envs=2", "algo.epochs=1", "tuned=none",
         "logger=[jsonl]", "eval.episodes=1", "network.hidden=[4]")  # fmt: skip


def test_a_run_and_what_is_told_of_it(rlcli: Rlcli, workplace: Path) -> None:
    ended = rlcli("train", *SMALL, "seed=3", "name=first")
    assert ended.code == 0
    assert "ppo on CartPole-v1, seed 3: return " in ended.out
    assert "Saved to runs/first" in ended.out
    assert [path.name for path in workplace.iterdir()] == ["runs"]
    config = from_yaml((workplace / "runs" / "first" / "config.yaml").read_text())
    composed = compose([*SMALL, "seed=3", "name=first"]).config
    assert config == decided(composed, registry.describe(composed.env))

    (shown,) = rlcli("show", "last", "--json").rows()
    assert Path(shown["dir"]) == Path("runs/first")
    expected = {"status": "finished", "algo": "ppo", "env": "CartPole-v1", "backend": "native", "seed": 3,
                "env_steps": 64, "updates": 4}  # fmt: skip
    assert {name: shown[name] for name in expected} == expected
    assert 0 < shown["health"]["behaviour/ess"] <= 1
    assert shown["settings"]["algo.rollout_steps"] == 8
    assert f"rlcli eval {shown['id']}" in ended.out

    plain = rlcli("show", shown["id"][:4]).out
    assert "status: finished" in plain
    assert "behaviour/ess" in plain
    (listed,) = rlcli("runs", "--json").rows()
    assert listed["id"] == shown["id"]
    assert shown["id"] in rlcli("runs").out


def test_a_run_that_stops_early_says_why(rlcli: Rlcli) -> None:
    words = (*SMALL, "name=early", "eval.every=16", "stop_at.threshold=0", "stop_at.evaluations=2")
    ended = rlcli("train", *words)
    assert ended.code == 0
    reason = "reached stop_at.threshold=0 in 2 consecutive evaluations"
    [line] = [line for line in ended.out.splitlines() if line.startswith("Stopped early: eval/return_mean=")]
    assert line.endswith(reason)
    assert "after 32 steps" in ended.out
    assert reason in rlcli("show", "early").out
    assert f"{reason}), there is nothing to do" in rlcli("resume", "early").out
    further = rlcli("resume", "early", "stop_at.threshold=null")
    assert further.code == 0
    assert "after 64 steps" in further.out
    assert "Stopped early" not in further.out
    jobs = rlcli("train", "-m", *words, "name=both", "seed=0,1", "--json").rows()
    assert [(job["status"], job["updates"]) for job in jobs] == [("finished", 2), ("finished", 2)]


def test_a_resumed_run_that_stops_early_says_why(rlcli: Rlcli) -> None:
    assert rlcli("train", *SMALL, "name=two").code == 0
    more = ("total_steps=128", "stop_at.metric=train/episodes", "stop_at.threshold=0")
    assert "neither better high nor low" in rlcli("resume", "two", *more).err
    stop = ("stop_at.metric=behaviour/ess", "stop_at.threshold=1e-6", "stop_at.evaluations=6")
    ended = rlcli("resume", "two", more[0], *stop)
    assert ended.code == 0
    assert "Stopped early: behaviour/ess=" in ended.out
    assert "after 96 steps" in ended.out  # six updates, of which four were trained before


def test_early_stopping_that_cannot_work_is_refused_with_all_mistakes(rlcli: Rlcli) -> None:
    ended = rlcli("train", "stop_at.threshold=475", "stop_at.evaluations=0", "algo.gama=1")
    assert (ended.code, ended.out) == (2, "")
    ended = rlcli("train", "stop_at.threshold=475", "eval.every=0")
    assert "needs evaluations during training, and eval.every=0" in ended.err


def test_evaluation(rlcli: Rlcli) -> None:
    rlcli("train", *SMALL)
    (last,) = rlcli("eval", "last", "--episodes", "3", "--json").rows()
    assert last["episodes"] == 3
    assert {"return_mean", "return_std"} <= set(last)
    assert rlcli("eval", "last", "--episodes", "3", "--json").rows() == [last]
    (named,) = rlcli("eval", "last", "--episodes", "3", "--checkpoint", "4", "--json").rows()
    assert named["return_mean"] == last["return_mean"]
    (sampled,) = rlcli("eval", "last", "--stochastic", "--episodes", "3", "--seed", "9", "--json").rows()
    assert (sampled["deterministic"], sampled["seed"]) == (False, 9)
    assert "3 deterministic episodes" in rlcli("eval", "last", "--episodes", "3", "--checkpoint", "best").out
    assert rlcli("eval", "last", "--checkpoint", "99").code == 2


def test_json_of_train_is_one_object(rlcli: Rlcli) -> None:
    ended = rlcli("train", *SMALL, "--json", "--quiet")
    (row,) = ended.rows()
    assert (row["status"], row["exit_code"], row["updates"]) == ("finished", 0, 4)
    assert ended.err == ""


def test_tuned_settings_are_announced_unless_quiet(rlcli: Rlcli) -> None:
    words = [word for word in SMALL if word != "tuned=none"]
    assert "ppo/CartPole-v1" in rlcli("train", *words).err
    assert "ppo/CartPole-v1" not in rlcli("--quiet", "train", *words).err
    assert "tuned settings" not in rlcli("train", *SMALL).err


def test_tuned_settings_of_a_family_are_announced_and_listed(rlcli: Rlcli, workplace: Path) -> None:
    folder = workplace / "own" / "tuned" / "a2c"
    (folder / "gym").mkdir(parents=True)
    for name in ("gym.yaml", "gym/Probe-v0.yaml"):
        (folder / name).write_text("# @package _global_\n# Short.\ntotal_steps: 10\n")
    gymnasium.register("gym/Probe-v0", entry_point="gymnasium.envs.classic_control:CartPoleEnv")
    try:
        words = ("--config-dir", "own", "algo=a2c", "env=gym/Probe-v0", "eval.episodes=0", "logger=[jsonl]")
        assert (
            "settings of a2c/gym, a2c/gym/Probe-v0 (tuned=none leaves them out" in rlcli("train", *words).err
        )
        listed = rlcli("list", "envs", "--config-dir", "own", "--json").rows()
        assert [row["tuned"] for row in listed if row["name"] == "gym/Probe-v0"] == [["a2c"]]
    finally:
        del gymnasium.registry["gym/Probe-v0"]


def test_where_runs_go(rlcli: Rlcli, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLCLI_RUNS", "elsewhere")
    assert "Saved to elsewhere/a" in rlcli("train", *SMALL, "name=a").out
    ended = rlcli("train", *SMALL, "name=b", "runs_dir=third")
    assert "rlcli eval third/b" in ended.out
    assert sorted(path.name for path in workplace.iterdir()) == ["elsewhere", "third"]
    assert rlcli("train", *SMALL, "name=a").code == 2


def test_a_sweep(rlcli: Rlcli, workplace: Path) -> None:
    ended = rlcli("train", "-m", *SMALL, "seed=0,1", "algo.clip=0.1,0.2", "name=grid", "--quiet")
    assert ended.code == 0
    jobs = ["seed=0,clip=0.1", "seed=0,clip=0.2", "seed=1,clip=0.1", "seed=1,clip=0.2"]
    assert [line.split()[0] for line in ended.out.splitlines()[1:5]] == jobs
    for job in jobs:
        config = yaml.safe_load((workplace / "runs" / "grid" / job / "config.yaml").read_text())
        assert f"seed={config['seed']},clip={config['algo']['clip']}" == job
    assert [path.name for path in workplace.iterdir()] == ["runs"]
    assert {row["sweep"] for row in rlcli("runs", "--json").rows()} == {"grid"}
    folded = rlcli("runs").out.splitlines()
    assert len(folded) == 2
    assert folded[1].startswith("grid/ ")
    assert (
        len(rlcli("runs", "runs/grid").out.splitlines()) == len(rlcli("runs", "grid").out.splitlines()) == 5
    )
    assert rlcli("show", "seed=0,clip=0.1").code == 0


def test_a_failed_job_is_shown_and_the_others_go_on(rlcli: Rlcli, workplace: Path) -> None:
    probe = ("env=tests.envs.probes:ProbeFaulty-v0", "env.kwargs.at=99,3,98")
    ended = rlcli("train", "-m", *SMALL, *probe, "--quiet")
    assert ended.code == 1
    assert [line.split()[1] for line in ended.out.splitlines()[1:4]] == ["finished", "failed", "finished"]
    assert "at=3 failed: " in ended.err
    assert "broken at step 3" in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(("fault", "code"), [("raise", 1), ("reward", 3), ("observation", 3)])
def test_a_failed_run_says_why_and_where(fault: str, code: int, rlcli: Rlcli, workplace: Path) -> None:
    probe = ("env=tests.envs.probes:ProbeFaulty-v0", f"env.kwargs.fault={fault}")
    ended = rlcli("train", *SMALL, *probe, "name=broken")
    assert ended.code == code
    assert ended.out == ""
    assert "failed: " in ended.err
    assert "Saved to runs/broken" in ended.err
    assert "Traceback" not in ended.err
    log = (workplace / "runs" / "broken" / "train.log").read_text()
    assert ("RuntimeError" if fault == "raise" else "non-finite") in log
    (shown,) = rlcli("show", "last", "--json").rows()
    assert (shown["status"], shown["exit_code"]) == ("failed", code)


def test_the_python_face(workplace: Path) -> None:
    result = package.train([*SMALL, "name=mine"])
    assert (result.status, result.dir) == ("finished", Path("runs/mine"))
    assert package.train(" ".join(SMALL)).updates == 4
    policy = package.load("mine")
    env = gymnasium.make("CartPole-v1")
    observation, _ = env.reset(seed=0)
    assert env.action_space.contains(np.asarray(policy.act(observation)).item())
    env.close()
    with pytest.raises(UserError, match="Did you mean 'ppo'"):
        package.train("algo=pppo")
    with pytest.raises(AttributeError, match="nothing"):
        package.nothing  # noqa: B018


def interrupted(words: list[str], number: int, until: str, workplace: Path) -> Ended:
    """The command, sent a signal once a file matching `until` has content."""
    return signalled(
        number, lambda: any(path.stat().st_size for path in workplace.glob(until)), "train", *words
    )


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_a_run_in_order(number: int, code: int, rlcli: Rlcli, workplace: Path) -> None:
    ended = interrupted([*SMALL, "total_steps=1e9"], number, "runs/*/metrics.jsonl", workplace)
    assert ended.code == code
    assert "interrupted" in ended.err
    assert "Traceback" not in ended.err
    (shown,) = rlcli("show", "last", "--json").rows()
    assert (shown["status"], shown["exit_code"]) == ("interrupted", code)
    assert rlcli("eval", "last", "--episodes", "1").code == 0


def test_a_signal_ends_the_whole_sweep(rlcli: Rlcli, workplace: Path) -> None:
    words = [*SMALL, "total_steps=1e9", "-m", "seed=0,1"]
    ended = interrupted(words, signal.SIGTERM, "runs/*/*/metrics.jsonl", workplace)
    assert ended.code == 143
    assert [row["status"] for row in rlcli("runs", "last", "--json").rows()] == ["interrupted"] * 2
    assert "Stopping sweep sweep-ppo-CartPole-v1-" in ended.err
    assert "Press Ctrl-C again to quit at once." in ended.err
    assert " of 2,000,000,000 steps, interrupted after " in ended.err
    assert "Traceback" not in ended.err
    assert [row["exit_code"] for row in rlcli("runs", "--json").rows()] == [143, 143]


def test_a_sweep_of_one_job(rlcli: Rlcli) -> None:
    ended = rlcli("train", "-m", *SMALL, "seed=3", "name=one")
    assert (ended.code, ended.out.splitlines()[1].split()[:2]) == (0, ["job", "finished"])
    assert "cohort" not in ended.err


def test_what_is_said_of_a_sweep(rlcli: Rlcli, workplace: Path) -> None:
    words = [*SMALL, "cohort.workers=1", "algo.rollout_steps=8,16", "seed=0,1"]
    ended = rlcli("train", "-m", *words, "name=said")
    assert "4 jobs: 2 cohorts of 2\n" in ended.err
    assert "100% of 256 steps" in ended.err
    assert "Next: rlcli show runs/said" in ended.out
    shown = rlcli("show", "said")
    assert shown.out.splitlines()[0].split() == [
        "job", "status", "steps", "return", "best", "KL", "ESS", "clip", "training", "entropy", "expl.var",
    ]  # fmt: skip
    assert shown.out.splitlines()[-1] == "4 finished"
    row, line = rlcli("show", "said", "--json").rows()[1], shown.out.splitlines()[2].split()
    assert (row["name"], f"{row['health']['behaviour/ess']:.3f}") == (line[0], line[6])
    narrow = on_a_terminal("show", "said", columns=77).splitlines()
    assert narrow[0].split()[-4:] == ["best", "KL", "ESS", "clip"]
    assert max(map(len, narrow)) <= 77
    assert len(narrow) == len(shown.out.splitlines()), "no name is folded to have room for another figure"
    one_by_one = rlcli("train", "-m", *words, "cohort.max_size=1", "name=apart").err
    assert "4 jobs: one by one\n" in one_by_one
    quiet = rlcli("train", "-m", *words, "--quiet", "--json")
    assert [row["status"] for row in quiet.rows()] == ["finished"] * 4
    assert quiet.err == ""
    wrong = rlcli("train", "-m", *words, "algo.clipp=0.1", "cohort.max_sizes=2")
    assert wrong.code == 2
    assert "Did you mean 'algo.clip'" in wrong.err
    assert "cohort.max_size" in wrong.err
    assert sorted(path.name for path in (workplace / "runs").iterdir())[:2] == ["apart", "said"]
    assert len(list((workplace / "runs").iterdir())) == 3


def test_a_member_alone_is_the_same_run(rlcli: Rlcli) -> None:
    rlcli("train", "-m", *SMALL, "seed=0,1,2", "total_steps=64,32", "name=three", "--quiet")
    ended = rlcli("reproduce", "runs/three/seed=1,total_steps=64")
    assert ended.code == 0
    assert "identical" in ended.out


def test_jobs_that_were_not_begun_are_listed_and_taken_up(rlcli: Rlcli, workplace: Path) -> None:
    rlcli("train", "-m", *SMALL, "seed=0,1", "name=cut", "--quiet")
    sweep = workplace / "runs" / "cut"
    for name in ("seed=0", "seed=1"):
        (sweep / name / "manifest.json").unlink()
        listed = rlcli("runs", "cut", "--json").rows()
        assert [row["status"] for row in listed if row["name"] == name] == ["waiting"]
    assert "2 waiting" in rlcli("runs").out
    assert rlcli("show", "cut").out.splitlines()[-1] == "2 waiting"
    assert rlcli("resume", "cut", "seed=3").code == 2
    ended = rlcli("resume", "cut", "--quiet")
    assert [line.split()[1] for line in ended.out.splitlines()[1:3]] == ["finished"] * 2
    assert "2 finished" in rlcli("runs").out
    again = rlcli("resume", "cut")
    assert (again.code, again.err) == (0, "")
    assert rlcli("resume", "runs/cut/seed=0", "--retry").code == 2
