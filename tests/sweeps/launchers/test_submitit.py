"""Cohorts as jobs of submitit, in its local executor."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from rlcli.config.launchers import Submitit
from rlcli.sweeps.cohorts import Machine
from rlcli.sweeps.launchers.submitit import Submitted
from rlcli.sweeps.launchers.supervision import Lost
from rlcli.sweeps.multirun import resume_sweep
from rlcli.sweeps.sweep import Sweep
from tests.runs.tiny import manifest_of
from tests.sweeps.conftest import Sweeping
from tests.sweeps.launchers.sweeps import SHORT, assert_stopped_by, ctrl_c, started, train_two_cohorts
from tests.sweeps.test_multirun import assert_as_alone

WORDS = ("hydra/launcher=submitit",)


def test_each_job_is_the_lone_run(sweep: Sweeping, workplace: Path) -> None:
    done = train_two_cohorts(sweep, workplace, WORDS)
    [folder] = done.dir.glob("submitit-*")
    assert {path.suffix for path in folder.iterdir()} == {".out", ".err"}


def test_ctrl_c_stops_jobs_in_order(workplace: Path) -> None:
    assert_stopped_by(ctrl_c, 130, WORDS)


@pytest.mark.slow
def test_a_job_that_is_preempted_goes_on(workplace: Path) -> None:
    """submitit's signal, as Slurm sends it before a time limit, to the job of the second cohort."""
    process, workers = started(*WORDS, "total_steps=2048", "checkpoint.every=1024", "checkpoint.seconds=0")
    os.kill(workers[1], signal.SIGUSR2)
    said = process.communicate(timeout=90)[1]
    assert process.returncode == 0, said
    done = Sweep.read(Path("runs/cut"))
    [resumed] = manifest_of(done.dir / "seed=2")["resumes"]
    assert resumed["update"] > 0, "it had saved before it was queued again"
    assert_as_alone(done, workplace / "alone")


@pytest.mark.slow
def test_a_job_that_is_killed_is_told_and_goes_on_when_asked_to(workplace: Path) -> None:
    process, workers = started(*WORDS, *SHORT)
    os.kill(workers[1], signal.SIGKILL)
    said = process.communicate(timeout=90)[1]
    assert process.returncode == 1
    assert "seed=2 failed: job" in said
    done = resume_sweep(Path("runs/cut"), quiet=True)
    assert [job.status for job in done.jobs] == ["finished"] * 3


def test_a_cluster_is_divided_among_its_nodes() -> None:
    settings = Submitit(executor="slurm", array_parallelism=7, mem_gb=2, cpus_per_task=3)
    assert Submitted(settings).machine(Machine(1, 1)) == Machine(3, 14 * 10**9, 7)


def test_a_log_of_any_bytes_is_no_failure_of_ours(tmp_path: Path) -> None:
    """submitit quotes the log of a job that ended without a result."""
    log = tmp_path / "job.err"
    log.write_bytes(b"\xff\xfe")

    class Ended:
        job_id = "7"
        paths = SimpleNamespace(result_pickle=tmp_path / "result", stderr=log)

        def result(self) -> Any:
            return log.read_text(encoding="utf-8")

    with pytest.raises(Lost, match=str(log)):
        Submitted(Submitit(executor="slurm")).outcome(cast(Any, Ended()))
