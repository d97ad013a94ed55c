"""However the process that learns ends, no actor is left."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from rlcli.collect.state import episode_seed
from rlcli.errors import EXIT_SIGTERM
from tests.actors.environments import ID
from tests.runs.test_signals import long_run, wait_for

PROCESSES = Path("/proc")


def descendants(process: int) -> set[int]:
    """Process ids of a process's children and theirs."""
    found: set[int] = set()
    ahead = [process]
    while ahead:
        parent = ahead.pop()
        for path in (PROCESSES / str(parent) / "task").glob("*/children"):
            children = {int(word) for word in path.read_text().split()}
            ahead += children - found
            found |= children
    return found


def alive(process: int) -> bool:
    try:
        return "\nState:\tZ" not in (PROCESSES / str(process) / "status").read_text()
    except OSError:
        return False


@pytest.mark.parametrize(("number", "deed"), [(signal.SIGKILL, "hang"), (signal.SIGTERM, "none")])
def test_no_process_is_left(number: int, deed: str, tmp_path: Path) -> None:
    """Killed while an actor hangs, or stopped at the end of an update."""
    if not (PROCESSES / "self" / "task").is_dir():
        pytest.skip("needs /proc")
    kwargs = {"deed": deed, "seed": episode_seed(0, 1, 0)}
    with long_run(tmp_path / "run", env__id=ID, env__kwargs=kwargs, collect__mode="process") as learner:
        written = tmp_path / "run" / ("manifest.json" if deed == "hang" else "metrics.jsonl")
        wait_for(lambda: written.exists() and written.stat().st_size > 0, learner)
        started = descendants(learner.pid)
        assert len(started) >= 3
        os.kill(learner.pid, number)
        code = learner.wait(60)
    assert code == (-signal.SIGKILL if number == signal.SIGKILL else EXIT_SIGTERM)
    deadline = time.monotonic() + 10.0
    while any(alive(process) for process in started):
        assert time.monotonic() < deadline, "a process is left"
        time.sleep(0.02)
