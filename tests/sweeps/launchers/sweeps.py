"""What is asked of every launcher that has workers elsewhere."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import rlcli
from rlcli.collect.state import episode_seed
from rlcli.store.lock import holder
from rlcli.sweeps.sweep import Sweep
from tests.runs.tiny import manifest_of
from tests.sweeps.conftest import SMALL, Sweeping
from tests.sweeps.test_multirun import PROBE, assert_as_alone
from tests.sweeps.test_resume import gone, wait_for

ROOT = Path(rlcli.__file__).parents[1]
LONG = "total_steps=100000000"
SHORT = ("total_steps=2048", "checkpoint.every=512", "checkpoint.seconds=0")
"""Enough for a signal to come before the end."""


def train_two_cohorts(sweep: Sweeping, place: Path, words: Sequence[str]) -> Sweep:
    """Three jobs in two cohorts, the second of which fails: the others are what they are alone."""
    broken = f"env.kwargs.seed={episode_seed(1, 1, 0)}"
    done = sweep(*PROBE, broken, "seed=0,1,2", "cohort.max_size=2", "cohort.workers=2", *words)
    assert [job.status for job in done.jobs] == ["finished", "failed", "finished"]
    assert "broken at step 3" in str(done.jobs[1].message)
    assert manifest_of(done.dir / "seed=0")["cohort"] == ["seed=0", "seed=1"]
    assert manifest_of(done.dir / "seed=2")["cohort"] == []
    assert not (done.dir / "launch").exists()
    done.jobs.pop(1)
    assert_as_alone(done, place / "alone")
    return done


def started(*words: str) -> tuple[subprocess.Popen[str], list[int]]:
    """The command that trains two cohorts, in a process group of its own; the processes that train them."""
    command = [
        sys.executable, "-m", "rlcli", "train", "-m", *SMALL, "seed=0,1,2", "cohort.max_size=2",
        "cohort.workers=2", "name=cut", *words,
    ]  # fmt: skip
    process = subprocess.Popen(
        command, text=True, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    wait_for(lambda: len(list(Path("runs/cut").glob("*/digests.txt"))) == 3 or process.poll() is not None)
    held = [holder(Path(f"runs/cut/seed={seed}")) for seed in (0, 2)]
    return process, [one.pid for one in held if one is not None]


def ctrl_c(process: subprocess.Popen[str]) -> None:
    """As a terminal does it: everyone in the group hears it."""
    os.killpg(process.pid, signal.SIGINT)


def assert_stopped_by(stop: Callable[[subprocess.Popen[str]], None], code: int, words: Sequence[str]) -> None:
    """The command ends with that code, its workers after the update in progress; they have saved."""
    process, workers = started(LONG, *words)
    assert len({*workers, process.pid}) == 3
    stop(process)
    process.communicate(timeout=60)
    assert process.returncode == code
    wait_for(lambda: all(gone(pid) for pid in workers), 30)
    jobs = Sweep.read(Path("runs/cut")).jobs
    assert [job.status for job in jobs] == ["interrupted"] * 3
    assert [job.message for job in jobs] == [f"after update {job.updates}" for job in jobs]
