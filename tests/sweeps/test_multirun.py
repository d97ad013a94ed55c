"""Sweeps: their directory and record, failures and signals. Training itself is replaced by a stand-in."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import rlcli.runs.train
from rlcli.config.compose import compose_multirun
from rlcli.config.schema import RunConfig
from rlcli.errors import NonFiniteError, StorageError
from rlcli.runs.train import Result
from rlcli.sweeps.multirun import Sweep, job_names, run_sweep
from rlcli.sweeps.plan import plan

Act = Callable[[RunConfig], None]


@pytest.fixture
def sweep(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Sweep]:
    """`sweep(act, *overrides)` runs the jobs, `act(config)` standing in for the training of one."""

    def run(act: Act, *overrides: str) -> Sweep:
        def train(
            configs: Sequence[RunConfig],
            dirs: Sequence[Path],
            *,
            overrides: Sequence[Sequence[str]],
            **_: Any,
        ) -> list[Result]:
            for config, directory in zip(configs, dirs, strict=True):
                directory.mkdir()
                (directory / "seed").write_text(str(config.seed))
                act(config)
            return [outcome(directory, "finished", 0) for directory in dirs]

        monkeypatch.setattr(rlcli.runs.train, "train", train)
        jobs = plan(["logger=[]", *overrides], multirun=True)
        return run_sweep(jobs, ["logger=[]", *overrides], quiet=True)

    return run


def outcome(directory: Path, status: str, code: int) -> Result:
    return Result(
        dir=directory, id=directory.name, status=status, env_steps=10, updates=1,
        eval_return_mean=1.5, exit_code=code, message=None,
    )  # fmt: skip


def nothing(_: RunConfig) -> None:
    return


def test_each_job_gets_the_configuration_its_name_says(sweep: Callable[..., Sweep], workplace: Path) -> None:
    done = sweep(nothing, "seed=2,0", "env=CartPole-v1,Acrobot-v1")
    assert [job.name for job in done.jobs] == [
        "seed=2,env=CartPole-v1",
        "seed=2,env=Acrobot-v1",
        "seed=0,env=CartPole-v1",
        "seed=0,env=Acrobot-v1",
    ]
    for job in done.jobs:
        assert job.name.startswith(f"seed={(done.dir / job.name / 'seed').read_text()},")
    assert [path.name for path in workplace.iterdir()] == ["runs"]
    assert [path.name for path in (workplace / "runs").iterdir()] == [done.dir.name]
    assert done.exit_code == 0


def test_the_record_says_how_it_went(sweep: Callable[..., Sweep]) -> None:
    done = sweep(nothing, "seed=0,1")
    record = json.loads((done.dir / "sweep.json").read_text())
    assert (record["status"], record["overrides"]) == ("finished", ["logger=[]", "seed=0,1"])
    assert [(job["name"], job["status"], job["exit_code"]) for job in record["jobs"]] == [
        ("seed=0", "finished", 0),
        ("seed=1", "finished", 0),
    ]
    assert record["jobs"][1]["overrides"] == ["logger=[]", "seed=1"]
    assert record["started"] <= record["finished"]
    left = {path.name for path in done.dir.iterdir()}
    assert left <= {"seed=0", "seed=1", "sweep.json", "multirun.yaml"}


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (NonFiniteError("loss is nan"), "loss is nan"),
        (StorageError("disk full"), "disk full"),
        (ZeroDivisionError("by zero"), "ZeroDivisionError: by zero"),
    ],
)
def test_a_failed_job_does_not_stop_the_others(
    error: Exception, said: str, sweep: Callable[..., Sweep]
) -> None:
    def act(config: RunConfig) -> None:
        if config.seed == 1:
            raise error

    done = sweep(act, "seed=0,1,2")
    assert [job.status for job in done.jobs] == ["finished", "failed", "finished"]
    assert done.jobs[1].message == said
    assert done.exit_code == 1
    assert json.loads((done.dir / "sweep.json").read_text())["status"] == "failed"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_stops_all_jobs(number: int, code: int, sweep: Callable[..., Sweep]) -> None:
    before = signal.getsignal(signal.SIGTERM)

    def act(config: RunConfig) -> None:
        if config.seed == 1:
            os.kill(os.getpid(), number)

    done = sweep(act, "seed=0,1,2")
    assert done.exit_code == code
    assert [job.status for job in done.jobs] == ["finished", "interrupted", "waiting"]
    assert json.loads((done.dir / "sweep.json").read_text())["status"] == "interrupted"
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("code", [130, 143])
def test_an_interrupted_job_stops_the_sweep(
    code: int, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(_: Any, dirs: Sequence[Path], **__: Any) -> list[Result]:
        return [outcome(dirs[0], "interrupted", code)]

    monkeypatch.setattr(rlcli.runs.train, "train", train)
    done = run_sweep(plan(["seed=0,1"], multirun=True), ["seed=0,1"], quiet=True)
    assert [job.status for job in done.jobs] == ["interrupted", "waiting"]
    assert done.exit_code == code


def test_a_second_sweep_has_its_own_directory(sweep: Callable[..., Sweep]) -> None:
    assert sweep(nothing, "seed=0,1").dir != sweep(nothing, "seed=0,1").dir


def test_names_are_folders_and_each_its_own() -> None:
    jobs = compose_multirun(
        ["env=CartPole-v1,phys2d/CartPole-v1", "network.hidden=[8,9],[8]", "algo.clip=0.1"]
    )
    assert job_names(jobs) == [
        "env=CartPole-v1,hidden=8-9",
        "env=CartPole-v1,hidden=8",
        "env=phys2d-CartPole-v1,hidden=8-9",
        "env=phys2d-CartPole-v1,hidden=8",
    ]
    same = compose_multirun(["eval.every=0,5", "checkpoint.every=0,5"])
    assert job_names(same)[1] == "eval.every=0,checkpoint.every=5"
    long = compose_multirun([f"notes={'x' * 150}a,{'x' * 150}b"])
    assert len(set(job_names(long))) == 2
    assert max(map(len, job_names(long))) < 120
