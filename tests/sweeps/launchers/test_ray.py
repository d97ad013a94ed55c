"""Cohorts on a Ray cluster of this machine, which these tests share: it takes seconds to start."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from rlcli.config.launchers import Launching, Ray
from rlcli.store.lock import holder
from rlcli.sweeps.launchers.table import opened
from tests.runs.tiny import manifest_of
from tests.sweeps.conftest import Sweeping
from tests.sweeps.launchers.sweeps import LONG, ROOT, SHORT, train_two_cohorts
from tests.sweeps.test_multirun import assert_as_alone
from tests.sweeps.test_resume import wait_for

HALF = "hydra.launcher.num_cpus=0.5"
WORDS = ("hydra/launcher=ray", HALF)


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        with opened(Launching("ray", Ray(num_cpus=0.5))):
            assert signal.getsignal(signal.SIGTERM) is before
            yield
    assert not ray.is_initialized()


def soon(pid: int, number: int, *jobs: Path) -> None:
    """Sends a signal once all these jobs have begun; `pid` 0 means to the first one's worker."""

    def begun(job: Path) -> bool:
        return (job / "digests.txt").exists() and holder(job) is not None

    def send() -> None:
        wait_for(lambda: all(map(begun, jobs)))
        held: Any = holder(jobs[0])
        os.kill(pid or held.pid, number)

    threading.Thread(target=send, daemon=True).start()


def test_each_job_is_the_lone_run(sweep: Sweeping, workplace: Path) -> None:
    train_two_cohorts(sweep, workplace, WORDS)


@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced(sweep: Sweeping, workplace: Path) -> None:
    soon(0, signal.SIGKILL, Path("runs/cut/seed=1"))
    done = sweep(*WORDS, "seed=0,1", "cohort.max_size=1", "cohort.workers=2", *SHORT, "name=cut")
    assert [job.status for job in done.jobs] == ["finished"] * 2
    assert len(manifest_of(done.dir / "seed=1")["resumes"]) == 1
    assert_as_alone(done, workplace / "alone")


def test_ctrl_c_stops_tasks_in_order(sweep: Sweeping, workplace: Path) -> None:
    soon(os.getpid(), signal.SIGINT, Path("runs/cut/seed=0"), Path("runs/cut/seed=1"))
    done = sweep(*WORDS, "seed=0,1", "cohort.max_size=1", "cohort.workers=2", LONG, "name=cut")
    assert done.exit_code == 130
    assert [(job.status, job.exit_code) for job in done.jobs] == [("interrupted", 143)] * 2
