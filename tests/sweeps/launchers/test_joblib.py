"""Cohorts in joblib's processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from joblib.externals.loky import get_reusable_executor

from rlcli.sweeps.launchers.joblib import _detach
from rlcli.sweeps.sweep import Sweep
from tests.runs.tiny import manifest_of
from tests.sweeps.conftest import Sweeping
from tests.sweeps.launchers.sweeps import SHORT, assert_stopped_by, ctrl_c, started, train_two_cohorts
from tests.sweeps.test_multirun import assert_as_alone

WORDS = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")


def test_each_job_is_the_lone_run(sweep: Sweeping, workplace: Path) -> None:
    train_two_cohorts(sweep, workplace, WORDS)


def printing() -> None:
    print("of a worker")
    os.write(1, b"of its libraries\n")
    sys.stdout.flush()


def test_prints_of_workers_are_no_results(capfd: pytest.CaptureFixture[str]) -> None:
    executor = get_reusable_executor(1, initializer=_detach)
    try:
        executor.submit(printing).result()
    finally:
        executor.shutdown(wait=True)
    told = capfd.readouterr()
    assert told.out == ""
    assert "of a worker\nof its libraries\n" in told.err


def killed(process: subprocess.Popen[str]) -> None:
    process.kill()


@pytest.mark.parametrize(("stop", "code"), [(ctrl_c, 130), pytest.param(killed, -9, marks=pytest.mark.slow)])
def test_workers_stop_in_order(stop: Callable[..., None], code: int, workplace: Path) -> None:
    assert_stopped_by(stop, code, WORDS)


@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced(workplace: Path) -> None:
    process, workers = started(*WORDS, *SHORT)
    os.kill(workers[1], signal.SIGKILL)
    said = process.communicate(timeout=90)[1]
    assert process.returncode == 0, said
    assert "a process of joblib was killed" in said
    done = Sweep.read(Path("runs/cut"))
    assert len(manifest_of(done.dir / "seed=2")["resumes"]) == 1
    assert_as_alone(done, workplace / "alone")
