"""Sweeps: every job's numbers are those of the lone run; the record, failures, signals, names."""

from __future__ import annotations

import csv
import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import rlcli.sweeps.cohort_job as cohort_job
from rlcli.collect.state import episode_seed
from rlcli.config.schema.run import RunConfig
from rlcli.errors import StorageError
from rlcli.runs.train import Result, train
from rlcli.sweeps.cohort_job import CohortJob
from rlcli.sweeps.events import Event, OnEvent, RunEnded, RunRow
from rlcli.sweeps.multirun import Sweep, run_sweep
from rlcli.sweeps.names import job_names
from rlcli.sweeps.plan import plan
from tests.runs.resuming import assert_same_run
from tests.runs.tiny import manifest_of
from tests.sweeps.composing import compose_multirun, multirun
from tests.sweeps.conftest import SMALL, Sweeping

PROBE = ("env=tests.envs.probes:ProbeFaulty-v0",)


def assert_as_alone(done: Sweep, place: Path) -> None:
    """Every job equals a run of its config that trained alone."""
    for job in done.jobs:
        train([done.config(job)], [place / job.name], quiet=True)
        assert_same_run(done.dir / job.name, place / job.name)


@pytest.mark.broken_by(
    "who has left stays in the cohort",
    "runs/loop.py",
    "self._session.drop(run)",
    "pass",
    case="cohort",
)
@pytest.mark.parametrize("launcher", ["cohort", "basic"])
def test_each_job_is_the_lone_run(launcher: str, sweep: Sweeping, workplace: Path) -> None:
    done = sweep(
        "seed=3,0", "algo.learning_rate=0.01,0.001", "total_steps=96,48", f"hydra/launcher={launcher}"
    )
    assert [job.status for job in done.jobs] == ["finished"] * 8
    assert {len(manifest_of(done.dir / job.name)["cohort"]) for job in done.jobs} == {
        8 if launcher == "cohort" else 0
    }
    assert {job.name: job.updates for job in done.jobs}["seed=3,learning_rate=0.01,total_steps=48"] == 3
    assert_as_alone(done, workplace / "alone")


def test_worker_processes_give_the_same_numbers(
    sweep: Sweeping, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(cohort_job.__file__).parents[2]))
    done = sweep("seed=0,1,2,3", "cohort.workers=2", "cohort.max_size=2")
    assert [job.status for job in done.jobs] == ["finished"] * 4
    assert manifest_of(done.dir / "seed=2")["cohort"] == ["seed=2", "seed=3"]
    assert_as_alone(done, workplace / "alone")


def test_a_broken_environment_takes_its_own_job_alone(sweep: Sweeping, workplace: Path) -> None:
    """It raises in the episode of one seed of the environment: the first of the second job."""
    done = sweep(*PROBE, f"env.kwargs.seed={episode_seed(1, 1, 0)}", "seed=0,1,2")
    assert [job.status for job in done.jobs] == ["finished", "failed", "finished"]
    assert "broken at step 3" in str(done.jobs[1].message)
    done.jobs.pop(1)
    assert_as_alone(done, workplace / "alone")


@pytest.mark.parametrize("error", [StorageError("disk full"), ZeroDivisionError("by zero")])
def test_a_job_that_fails_amid_the_others(
    error: Exception, sweep: Sweeping, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second of three fails after its second update."""
    whole = train

    def failing(configs: Sequence[RunConfig], dirs: Sequence[Path], **given: Any) -> list[Result]:
        hear = given.pop("on_row")

        def on_row(run: int, row: Any) -> Any:
            if configs[run].seed == 1 and row["update"] == 2:
                raise error
            return hear(run, row)

        return whole(configs, dirs, on_row=on_row, **given)

    monkeypatch.setattr(cohort_job, "train", failing)
    done = sweep("seed=0,1,2")
    assert [job.status for job in done.jobs] == ["finished", "failed", "finished"]
    assert str(error) in str(done.jobs[1].message)
    assert (done.exit_code, done.status) == (1, "failed")
    assert json.loads((done.dir / "sweep.json").read_text())["status"] == "failed"
    failed = done.jobs.pop(1)
    assert (failed.env_steps, failed.updates) == (32, 2)
    assert_as_alone(done, workplace / "alone")


@pytest.mark.broken_by(
    "a job's end told when the last of its cohort ends",
    "runs/loop.py",
    "        self._on_end(run, result)\n",
    "        if not self._recorders:\n"
    "            for one in self._results:\n"
    "                self._on_end(one, self._results[one])\n",
)
def test_the_end_of_a_job_is_an_event_as_it_ends(sweep: Sweeping, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of two has half the steps."""
    told: list[tuple[str, Any]] = []
    whole = cohort_job.train_cohort

    def listening(job: CohortJob, on_event: OnEvent, **given: Any) -> int | None:
        def note(event: Event) -> None:
            if isinstance(event, RunRow):
                told.append((event.name, event.figures["update"]))
            elif isinstance(event, RunEnded):
                told.append((event.name, event.result.status))
            on_event(event)

        return whole(job, note, **given)

    monkeypatch.setattr(cohort_job, "train_cohort", listening)
    short, long = (job.name for job in sweep("total_steps=48,96").jobs)
    assert told.index((short, "finished")) < told.index((long, 4)) < told.index((long, "finished"))
    assert [name for name, what in told if what == "finished"] == [short, long]


def test_a_cohort_that_cannot_begin_is_told_and_the_others_go_on(
    sweep: Sweeping, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train

    def failing(configs: Sequence[RunConfig], *given: Any, **named: Any) -> list[Result]:
        if configs[0].network.hidden == (5,):
            raise StorageError("no place")
        return whole(configs, *given, **named)

    monkeypatch.setattr(cohort_job, "train", failing)
    done = sweep("network.hidden=[5],[4]", "seed=0,1")
    assert [job.status for job in done.jobs] == ["failed", "failed", "finished", "finished"]
    assert [job.message for job in done.jobs[:2]] == ["no place"] * 2
    again = Sweep.read(done.dir)
    assert [(job.status, job.message) for job in again.jobs[:2]] == [("failed", "no place")] * 2


def test_the_record_and_the_table(sweep: Sweeping) -> None:
    done = sweep("seed=0,1", "algo.clip=0.1")
    record = json.loads((done.dir / "sweep.json").read_text())
    assert record["overrides"] == [*SMALL, "seed=0,1", "algo.clip=0.1"]
    assert (record["status"], record["version"]) == ("finished", 2)
    assert record["started"] <= record["finished"]
    assert [(job["name"], job["status"], job["exit_code"]) for job in record["jobs"]] == [
        ("seed=0", "finished", 0),
        ("seed=1", "finished", 0),
    ]
    assert record["jobs"][1]["varied"] == ["seed=1"]
    assert set(record["jobs"][1]["overrides"]) >= {"seed=1", "algo.clip=0.1"}
    rows = list(csv.DictReader((done.dir / "results.csv").read_text().splitlines()))
    for job, row in zip(done.jobs, rows, strict=True):
        told = manifest_of(done.dir / job.name)
        assert row["seed"] == job.name.removeprefix("seed=")
        assert (row["job"], row["status"], row["dir"], row["id"]) == (
            job.name, "finished", job.name, told["id"],
        )  # fmt: skip
        assert float(row["eval_return_mean"]) == told["eval_return_mean"]
        assert float(row["best_return_mean"]) == told["best_return_mean"]
        assert int(row["env_steps"]) == 96
        assert 0 < float(row["behaviour/ess"]) <= 1
    left = {path.name for path in done.dir.iterdir()}
    assert left == {"seed=0", "seed=1", "sweep.json", "results.csv"}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("launcher", ["cohort", "basic"])
def test_a_signal_stops_all_jobs(
    launcher: str, number: int, code: int, sweep: Sweeping, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the second update of the second shape, or of the second job."""
    before = signal.getsignal(signal.SIGTERM)
    whole = train

    def stopped(configs: Sequence[RunConfig], dirs: Sequence[Path], **given: Any) -> list[Result]:
        hear = given.pop("on_row")

        def on_row(run: int, row: Any) -> Any:
            if (configs[run].network.hidden, configs[run].seed, row["update"]) == ((5,), 0, 2):
                os.kill(os.getpid(), number)
            return hear(run, row)

        return whole(configs, dirs, on_row=on_row, **given)

    monkeypatch.setattr(cohort_job, "train", stopped)
    done = sweep("network.hidden=[4],[5],[6]", "seed=0,1", f"hydra/launcher={launcher}")
    assert (done.exit_code, done.status) == (code, "interrupted")
    fourth = "interrupted" if launcher == "cohort" else "waiting"
    assert [job.status for job in done.jobs] == [
        "finished", "finished", "interrupted", fourth, "waiting", "waiting",
    ]  # fmt: skip
    assert json.loads((done.dir / "sweep.json").read_text())["status"] == "interrupted"
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_between_two_cohorts(
    number: int, code: int, sweep: Sweeping, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(_: Any) -> bool:
        os.kill(os.getpid(), number)
        return True

    monkeypatch.setattr(cohort_job, "exact_together", asked)
    done = sweep("seed=0,1")
    assert done.exit_code == code
    assert [job.status for job in done.jobs] == ["waiting", "waiting"]


def test_where_the_bits_differ_jobs_train_one_by_one(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cohort_job, "_found", {})
    monkeypatch.setattr(cohort_job, "_same", lambda *_: False)
    words = [*SMALL, "seed=0,1"]
    command = multirun(words)
    done = run_sweep(plan(command), command)
    assert (
        "2 runs trained together round differently than alone: they train one by one"
        in capsys.readouterr().err
    )
    assert [manifest_of(done.dir / job.name)["cohort"] for job in done.jobs] == [[], []]
    assert done.exit_code == 0


@pytest.mark.broken_by(
    "the probe of exactness compares names alone",
    "sweeps/cohort_job.py",
    "all(torch.equal(left[name], right[name]) for name in left)",
    "all(left[name].shape == right[name].shape for name in left)",
)
def test_the_probe_compares_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    configs = [job.config for job in compose_multirun([*SMALL, "seed=0,1,2"])]
    monkeypatch.setattr(cohort_job, "_found", {})
    assert cohort_job.exact_together(configs)
    monkeypatch.setattr(cohort_job, "_found", {})
    plain = cohort_job._after_an_update

    def rounded(given: Sequence[RunConfig]) -> Any:
        found = plain(given)
        if len(given) > 1:
            found[-1]["train.policy.parameters"][..., 0].mul_(1 + 2**-23)
        return found

    monkeypatch.setattr(cohort_job, "_after_an_update", rounded)
    assert not cohort_job.exact_together(configs)


def test_a_second_sweep_has_its_own_directory(sweep: Sweeping) -> None:
    assert sweep("seed=0", "total_steps=16").dir != sweep("seed=0", "total_steps=16").dir


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
