"""`rlcli train --dry-run`: the updates, jobs and cohorts that training has, and nothing on disk."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from rlcli.config.compose import compose
from rlcli.runs.cadence import evaluation_due
from rlcli.sweeps import estimate
from rlcli.sweeps.launchers import table
from rlcli.sweeps.measure import Measured
from tests.cli.conftest import Rlcli
from tests.runs.tiny import manifest_of

SMALL = ("total_steps=64", "algo.rollout_steps=8", "env.num_envs=2", "algo.epochs=1", "tuned=none",
         "logger=[jsonl]", "eval.episodes=1", "network.hidden=[4]")  # fmt: skip


def test_a_run_costs_what_it_then_takes(rlcli: Rlcli, workplace: Path) -> None:
    [row] = rlcli("train", *SMALL, "--dry-run", "--json", "-q").rows()
    assert list(workplace.iterdir()) == []
    [trained] = rlcli("train", *SMALL, "--json", "-q").rows()
    [cohort] = row["cohorts"]
    assert (cohort["updates"], row["env_steps"]) == (trained["updates"], trained["env_steps"])
    assert row["jobs"] == cohort["runs"] == cohort["evaluations"] == 1
    assert cohort["measured_updates"] == trained["updates"] - 1
    assert row["seconds"] == pytest.approx(4 * cohort["seconds_per_update"])
    assert row["memory"] > 10**7
    assert (row["evaluation_seconds_at_most"] > 0, row["exit_code"]) == (True, 0)


def test_the_text_of_a_run(rlcli: Rlcli, workplace: Path) -> None:
    ended = rlcli("train", *SMALL, "seed=3", "--dry-run")
    lines = ended.out.splitlines()
    assert lines[0] == "ppo on CartPole-v1, seed 3"
    assert lines[1] == "updates: 4 of 16 steps, 64 in all"
    assert [line.split(":")[0] for line in lines[2:]] == ["time", "evaluations", "memory"]
    assert "nothing is saved" in ended.err
    assert list(workplace.iterdir()) == []


@pytest.mark.broken_by(
    "a dry run takes every job for a cohort of its own",
    "sweeps/estimate.py",
    "    parts = cohorts(configs, machine, trials)",
    "    parts = [[position] for position in range(len(configs))]",
)
def test_a_sweep_has_the_jobs_and_cohorts_that_train(rlcli: Rlcli, workplace: Path) -> None:
    words = ("-m", *SMALL, "seed=0,1,2", "network.hidden=[4],[5]", "cohort.workers=1", "name=sweep")
    [row] = rlcli("train", *words, "--dry-run", "--json", "-q").rows()
    assert list(workplace.iterdir()) == []
    assert [one["runs"] for one in row["cohorts"]] == [3, 3]
    assert (row["jobs"], row["env_steps"], row["cohorts_side_by_side"]) == (6, 384, 1)
    assert row["seconds"] == pytest.approx(sum(one["seconds"] for one in row["cohorts"]))
    assert rlcli("train", *words, "-q").code == 0
    together = [
        len(manifest_of(path.parent)["cohort"]) for path in workplace.glob("runs/sweep/*/manifest.json")
    ]
    assert together == [3] * 6


def test_the_text_of_a_sweep(rlcli: Rlcli) -> None:
    ended = rlcli(
        "train", "-m", *SMALL, "seed=0,1,2", "network.hidden=[4],[5]", "cohort.workers=2", "--dry-run"
    )
    lines = ended.out.splitlines()
    assert lines[0] == "6 jobs: 2 cohorts of 3, 2 at a time"
    assert lines[1] == "steps: 384 in all"
    assert any(line.split()[:4] == ["algo", "env", "jobs", "updates"] for line in lines)


@pytest.mark.broken_by(
    "the last batch of a search counted as a whole one",
    "sweeps/estimate.py",
    "return self.jobs / sum(one.runs for one in self.cohorts)",
    "return float(self.rounds)",
)
def test_a_search_counts_trials_seeds_and_rounds(rlcli: Rlcli, workplace: Path) -> None:
    pytest.importorskip("optuna")
    words = ("-m", *SMALL, "sweep.sampler=tpe", "algo.clip=interval(0.1,0.3)", "sweep.trials=5",
             "sweep.parallel=3", "sweep.replicas=2", "cohort.workers=1")  # fmt: skip
    [row] = rlcli("train", *words, "--dry-run", "--json", "-q").rows()
    assert (row["trials"], row["jobs"], row["rounds"], row["env_steps"]) == (5, 10, 2, 640)
    assert [one["runs"] for one in row["cohorts"]] == [6]
    assert list(workplace.iterdir()) == []


@pytest.mark.broken_by(
    "a dry run ends well where the first update fails",
    "sweeps/measure.py",
    "            raise row.error",
    "            continue",
)
def test_an_environment_that_fails_is_reported_with_the_exit_code_of_training(
    rlcli: Rlcli, workplace: Path
) -> None:
    odd = ("env=tests.envs.odd:Odd-v0", "env.kwargs.deed=exit", "eval.episodes=0")
    ended = rlcli("train", *SMALL, *odd, "--dry-run", "-q")
    assert ended.code == 1
    assert "Error: the first update of ppo on tests.envs.odd:Odd-v0 failed: " in ended.err
    assert "defect" not in ended.err
    [row] = rlcli("train", *SMALL, *odd, "--dry-run", "-q", "--json").rows()
    assert (row["exit_code"], row["seconds"]) == (1, None)


@pytest.mark.broken_by(
    "evaluations counted without the last",
    "sweeps/estimate.py",
    "return 1 + min(",
    "return min(",
)
@pytest.mark.parametrize("every", [0, 1, 16, 17, 24, 32, 63, 64, 1000])
@pytest.mark.parametrize("steps", [1, 16, 40, 64, 100])
def test_evaluations_are_those_of_the_schedule(every: int, steps: int) -> None:
    config = compose([*SMALL, f"total_steps={steps}", f"eval.every={every}"]).config
    due = [
        update
        for update in range(1, config.updates + 1)
        if evaluation_due(config, update, update == config.updates, every)
    ]
    assert estimate.evaluations(config) == len(due)


@pytest.mark.parametrize(("runs", "seconds_per_update", "wanted"), [(1, 10.0, 10), (3, 10.0, 3), (1, 4.9, 1)])
def test_evaluations_are_counted_as_the_first_would_decide(
    runs: int, seconds_per_update: float, wanted: int
) -> None:
    """500 steps of an evaluation take 5 s; 5% of 20 updates of 10 s are 10 s, shared by the runs."""
    config = compose([*SMALL, "total_steps=320"]).config
    measured = Measured(1, seconds_per_update, 0.01, 0, None)
    assert estimate._evaluations([config] * runs, measured) == wanted


@pytest.mark.broken_by(
    "cohorts side by side timed one after another",
    "sweeps/estimate.py",
    "heapq.heappop(free) + one",
    "max(heapq.heappop(free), *free, 0.0) + one",
)
def test_cohorts_start_as_soon_as_a_worker_is_free() -> None:
    assert estimate._makespan([3.0, 1.0, 1.0, 1.0], 2) == 3.0
    assert estimate._makespan([3.0, 1.0], 1) == 4.0


def test_what_is_not_measured_costs_what_the_others_do_per_step(
    rlcli: Rlcli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate, "PATIENCE", -1.0)
    words = ("-m", *SMALL, "network.hidden=[4],[5]", "cohort.workers=1", "--dry-run", "--json", "-q")
    [row] = rlcli("train", *words).rows()
    first, second = row["cohorts"]
    assert (first["measured_updates"], second["measured_updates"]) == (3, 0)
    assert second["seconds"] == pytest.approx(first["seconds"])


def test_a_cluster_is_not_asked(rlcli: Rlcli, monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("ray") is None:  # not loaded into this process
        pytest.skip("Ray is not installed")

    def refuse(_: object) -> None:
        raise AssertionError("a cluster was opened")

    monkeypatch.setattr(table, "MAKERS", dict(table.MAKERS, ray=refuse))
    words = ("-m", *SMALL, "seed=0,1", "hydra/launcher=ray", "hydra.launcher.address=nowhere:1")
    ended = rlcli("train", *words, "--dry-run")
    assert ended.code == 0
    assert "Ray divides them for its cluster" in ended.out


@pytest.mark.parametrize("backend", ["native", "sb3"])
@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
def test_backends_and_environments_are_measured(backend: str, env: str, rlcli: Rlcli) -> None:
    words = (*SMALL, f"backend={backend}", f"env={env}", "env.backend=gymnasium", "--dry-run", "--json", "-q")
    [row] = rlcli("train", *words).rows()
    assert (row["exit_code"], row["cohorts"][0]["measured_updates"]) == (0, 3)
    assert row["seconds"] > 0


def test_a_dry_run_is_not_a_config(rlcli: Rlcli) -> None:
    ended = rlcli("train", "--dry-run", "--cfg", "job")
    assert (ended.code, ended.out) == (2, "")
    assert "--cfg and --dry-run: give one of them." in ended.err


def test_the_device_and_the_mistakes_are_checked_as_for_training(rlcli: Rlcli) -> None:
    ended = rlcli("train", "--dry-run", "algo.clipp=0.1")
    assert ended.code == 2
    assert "Did you mean 'algo.clip'" in ended.err


def test_memory_is_the_peak_of_what_is_measured() -> None:
    """300 MB allocated in between count, also once they are freed, in a process without memory to spare."""
    program = (
        "from rlcli.sweeps import measure\n"
        "peak = measure.Peak('cpu')\n"
        "before = peak.memory()\n"
        "content = bytearray(300 * 10**6)\n"
        "del content\n"
        "assert peak.memory() > before + 200 * 10**6\n"
        "assert peak.gpu_memory() is None\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
