"""Sweeps that were cut: what is finished stays, the rest comes to the end it would have had."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import rlcli.sweeps.cohort_job as cohort_job
from rlcli.config.schema.run import RunConfig
from rlcli.errors import StorageError, UserError
from rlcli.runs.train import Result, train
from rlcli.store.lock import Lock, holder
from rlcli.sweeps.multirun import Sweep, resume_sweep, run_sweep
from rlcli.sweeps.plan import plan
from tests.forked import program
from tests.runs.resuming import assert_same_run
from tests.sweeps.composing import multirun
from tests.sweeps.conftest import SMALL, Sweeping

ROOT = Path(cohort_job.__file__).parents[2]
KILLED = f"""
import os, signal, sys
import rlcli.sweeps.cohort_job as cohort_job
from rlcli.runs.train import train
from rlcli.sweeps.multirun import run_sweep
from rlcli.sweeps.plan import plan
from tests.sweeps.composing import multirun

def dying(configs, dirs, *, on_row, **given):
    def heard(run, row):
        if configs[run].network.hidden == (5,) and configs[run].seed == 1 and row["update"] == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return on_row(run, row)
    return train(configs, dirs, on_row=heard, **given)

cohort_job.train = dying
words = [*{list(SMALL)}, *sys.argv[1:]]
command = multirun(words)
run_sweep(plan(command), command, quiet=True)
"""
"""A sweep that is killed in the fourth update of a job."""


def python(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *words], env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def killed_with(*overrides: str) -> Path:
    assert program(KILLED, *overrides) == (-signal.SIGKILL, "")
    [directory] = Path("runs").iterdir()
    return directory


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_as_uninterrupted(found: Path, wanted: Sweep) -> None:
    for job in wanted.jobs:
        assert_same_run(found / job.name, wanted.dir / job.name)
    assert [job.status for job in Sweep.read(found).jobs] == [job.status for job in wanted.jobs]
    lines = [(folder / "results.csv").read_text().splitlines() for folder in (found, wanted.dir)]
    assert len(lines[0]) == len(lines[1])
    record = json.loads((found / "sweep.json").read_text())
    assert record["status"] == wanted.status


@pytest.mark.broken_by(
    "jobs that were cut begin again",
    "sweeps/cohort_job.py",
    "if (one / MANIFEST).is_file()]",
    "if False]",
)
def test_a_sweep_killed_in_this_process(workplace: Path, sweep: Sweeping) -> None:
    overrides = ("network.hidden=[4],[5],[6]", "seed=0,1")
    found = killed_with(*overrides)
    before = Sweep.read(found)
    assert [job.status for job in before.jobs] == [
        "finished", "finished", "killed", "killed", "waiting", "waiting",
    ]  # fmt: skip
    kept = files_of(found / before.jobs[0].name)
    done = resume_sweep(found, quiet=True)
    assert (done.exit_code, done.status) == (0, "finished")
    assert files_of(found / before.jobs[0].name) == kept, "a finished job was touched"
    assert not (found / "lock").exists()
    assert_as_uninterrupted(found, sweep(*overrides, "name=whole"))


def test_a_sweep_of_worker_processes_killed_as_a_whole(
    workplace: Path, sweep: Sweeping, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    overrides = ("seed=0,1,2,3", "total_steps=8192", "cohort.workers=2", "cohort.max_size=2")
    process = python("-m", "rlcli", "train", "-m", *SMALL, *overrides, "name=cut", "--quiet")
    found = Path("runs/cut")
    members: set[int] = set()

    def two_train() -> bool:
        holders = [holder(found / f"seed={seed}") for seed in range(4)]
        members.update(held.pid for held in holders if held is not None)
        begun = all((found / f"seed={seed}" / "digests.txt").exists() for seed in (1, 3))
        return begun and len({held.pid for held in holders if held is not None}) == 2

    wait_for(two_train)
    process.kill()
    process.communicate()
    wait_for(lambda: all(gone(pid) for pid in members))
    assert {job.status for job in Sweep.read(found).jobs} <= {"interrupted", "killed", "finished"}
    done = resume_sweep(found, quiet=True)
    assert [job.status for job in done.jobs] == ["finished"] * 4
    whole = sweep(*overrides[:2], "name=whole")
    for job in whole.jobs:
        assert_same_run(found / job.name, whole.dir / job.name)


def wait_for(ready: Any, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.02)


def gone(pid: int) -> bool:
    with contextlib.suppress(OSError):
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


def test_one_worker_that_is_killed_fails_its_jobs_alone(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing in the parent knows why; its jobs go on when asked to."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    words = (*SMALL, "seed=0,1", "cohort.workers=2", "cohort.max_size=1", "name=cut")
    process = python("-m", "rlcli", "train", "-m", *words, "total_steps=2048", "--quiet", "--json")
    found = Path("runs/cut")
    wait_for(lambda: (found / "seed=1" / "digests.txt").exists())
    held = holder(found / "seed=1")
    assert held is not None
    os.kill(held.pid, signal.SIGKILL)
    out, err = process.communicate(timeout=60)
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["status"] for row in rows] == ["finished", "failed"]
    assert process.returncode == 1
    assert "seed=1 failed: its process ended with -9" in err
    assert [job.status for job in resume_sweep(found, quiet=True).jobs] == ["finished"] * 2


@pytest.mark.broken_by(
    "jobs of another order given each other's configs",
    "sweeps/cohort_job.py",
    "[sweep.config(jobs[name]) for name in names],",
    "[sweep.config(jobs[name]) for name in sorted(names)],",
)
def test_jobs_are_what_they_were_when_the_sweep_began(workplace: Path, sweep: Sweeping) -> None:
    """A changed file of the user's, another order in sweep.json: nothing is composed anew."""
    folder = workplace / "mine" / "algo"
    folder.mkdir(parents=True)
    (folder / "own.yaml").write_text("defaults: [ppo]\nclip: 0.05\n")
    words = [*SMALL, "seed=0,1", "algo=own"]
    command = multirun(words, "mine")
    jobs = plan(command)
    assert [job.config.algo.clip for job in jobs] == [0.05] * 2
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cohort_job, "exact_together", interrupt)
        cut = run_sweep(jobs, command, quiet=True)
    assert [job.status for job in cut.jobs] == ["waiting"] * 2
    shutil.rmtree(workplace / "mine")
    record = json.loads((cut.dir / "sweep.json").read_text())
    record["jobs"].reverse()
    (cut.dir / "sweep.json").write_text(json.dumps(record))
    done = Sweep.read(resume_sweep(cut.dir, quiet=True).dir)
    for job in done.jobs:
        config = done.config(job)
        assert (f"seed={config.seed}", config.algo.clip, job.status) == (job.name, 0.05, "finished")


def interrupt(_: Any) -> bool:
    os.kill(os.getpid(), signal.SIGINT)
    return True


def test_failed_jobs_are_tried_again_on_request_only(
    sweep: Sweeping, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(configs: Sequence[RunConfig], dirs: Sequence[Path], **given: Any) -> list[Result]:
        if any(config.seed == 1 for config in configs):
            raise StorageError("no place")
        return train(configs, dirs, **given)

    with monkeypatch.context() as patch:
        patch.setattr(cohort_job, "train", failing)
        done = sweep("seed=0,1", "cohort.max_size=1")
    assert [job.status for job in done.jobs] == ["finished", "failed"]
    again = resume_sweep(done.dir, quiet=True)
    assert ([job.status for job in again.jobs], again.exit_code) == (["finished", "failed"], 1)
    retried = resume_sweep(done.dir, retry=True, quiet=True)
    assert ([job.status for job in retried.jobs], retried.exit_code) == (["finished"] * 2, 0)
    alone = sweep("seed=0,1", "name=whole")
    assert_same_run(done.dir / "seed=1", alone.dir / "seed=1")


@pytest.mark.broken_by(
    "finished jobs trained again",
    "sweeps/multirun.py",
    "left = [job for job in sweep.jobs if job.status not in over]",
    "left = list(sweep.jobs)",
)
def test_nobody_trains_what_is_finished(sweep: Sweeping, monkeypatch: pytest.MonkeyPatch) -> None:
    done = sweep("seed=0,1", "cohort.max_size=1")
    (done.dir / "seed=0" / "manifest.json").unlink()
    asked: list[str] = []

    def listening(job: cohort_job.CohortJob, *given: Any, **named: Any) -> int | None:
        asked.extend(job.names)
        return whole(job, *given, **named)

    whole = cohort_job.train_cohort
    monkeypatch.setattr(cohort_job, "train_cohort", listening)
    assert [job.status for job in resume_sweep(done.dir, quiet=True).jobs] == ["finished"] * 2
    assert asked == ["seed=0"]
    resume_sweep(done.dir, quiet=True)
    assert asked == ["seed=0"]


def test_a_job_that_cannot_go_on_does_not_keep_the_others(workplace: Path, sweep: Sweeping) -> None:
    found = killed_with("network.hidden=[5]", "seed=0,1,2")
    damaged = found / "seed=0" / "config.yaml"
    damaged.write_text(damaged.read_text().replace("gamma: 0.99", "gamma: 0.98"))
    done = resume_sweep(found, quiet=True)
    assert [job.status for job in done.jobs] == ["failed", "finished", "finished"]
    assert "not the config this run trained with" in str(done.jobs[0].message)
    assert done.exit_code == 1


@pytest.mark.broken_by(
    "a job that another process trains taken for free",
    "sweeps/multirun.py",
    "        Lock(sweep.dir / job.name).release()",
    "        pass",
)
def test_a_sweep_that_another_process_trains_is_left_alone(sweep: Sweeping) -> None:
    done = sweep("seed=0,1")
    before = files_of(done.dir)
    lock = Lock(done.dir)
    try:
        with pytest.raises(UserError, match="is in use by process"):
            resume_sweep(done.dir, quiet=True)
    finally:
        lock.release()
    assert files_of(done.dir) == before
    for name in ("seed=0", "seed=1"):
        (done.dir / name / "manifest.json").unlink()
    lock = Lock(done.dir / "seed=1")
    try:
        with pytest.raises(UserError, match=r"seed=1 is in use by process"):
            resume_sweep(done.dir, quiet=True)
    finally:
        lock.release()
    assert not (done.dir / "seed=0" / "manifest.json").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "../good"}, "names no folder"),
        ({"name": ".."}, "names no folder"),
        ({"name": "a/b"}, "names no folder"),
        ({"name": ""}, "names no folder"),
        ({"name": "\0"}, "names no folder"),
        ({"name": "seed=1"}, "two jobs have one name"),
        ({"name": "away"}, "there is no folder 'away'"),
        ({"name": "link"}, "there is no folder 'link'"),
        ({"name": 3}, "wrong values of a job's name"),
        ({"overrides": "x"}, "wrong values of a job's overrides"),
        ({"message": [1], "exit_code": "x"}, "wrong values of a job's exit_code, message"),
    ],
)
def test_a_record_that_is_none(change: dict[str, Any], said: str, sweep: Sweeping, workplace: Path) -> None:
    done = sweep("seed=0,1", "total_steps=16")
    (done.dir / "link").symlink_to(workplace)
    path = done.dir / "sweep.json"
    record = json.loads(path.read_text())
    record["jobs"][0] |= change
    path.write_text(json.dumps(record))
    before = files_of(workplace)
    for read in (Sweep.read, resume_sweep):
        with pytest.raises(StorageError, match=said):
            read(done.dir)
    assert files_of(workplace) == before


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"version": 9}', '{"version": 2, "jobs": 3}',
     '{"version": 2, "jobs": [3], "overrides": [], "started": ""}'],
)  # fmt: skip
def test_a_file_that_is_no_record(content: str, tmp_path: Path) -> None:
    (tmp_path / "sweep.json").write_text(content)
    with pytest.raises(StorageError, match=r"sweep\.json"):
        Sweep.read(tmp_path)


def test_a_damaged_job_is_shown_as_such(sweep: Sweeping) -> None:
    done = sweep("seed=0,1", "total_steps=16")
    (done.dir / "seed=0" / "manifest.json").write_text("{")
    assert [job.status for job in Sweep.read(done.dir).jobs] == ["damaged", "finished"]
