"""Supervision of cohorts in a pool, here one that trains them in this process: events, retries, stops."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from rlcli.store.lock import forget, holder, this_process
from rlcli.sweeps.events import CohortEnded, Event, Message, RunEnded, RunRow, RunsStarted, Stopping
from rlcli.sweeps.launchers import supervision
from rlcli.sweeps.launchers.stop_file import FILE, StopFile, StopWatcher
from rlcli.sweeps.launchers.supervision import Lost, RunPoll, supervise
from rlcli.sweeps.multirun import resume_sweep, run_sweep
from rlcli.sweeps.plan import plan
from rlcli.sweeps.sweep import Sweep
from rlcli.sweeps.worker import Outcome, Task, run_task
from tests.sweeps.composing import multirun
from tests.sweeps.conftest import SMALL
from tests.sweeps.test_multirun import assert_as_alone


class Inside:
    """Trains what is submitted at once; the first `lost` cohorts end without an outcome."""

    def __init__(self, lost: int = 0, stop_after: int | None = None) -> None:
        self.tasks: list[Task] = []
        self.withdrawn: list[int] = []
        self._lost, self._stop_after = lost, stop_after
        self._outcomes: list[Outcome | None] = []

    def submit(self, tasks: Sequence[Task]) -> list[int]:
        for task in tasks:
            self.tasks.append(task)
            lost = len(self.tasks) <= self._lost
            self._outcomes.append(None if lost else run_task(task))
            if len(self.tasks) == self._stop_after:
                os.kill(os.getpid(), signal.SIGTERM)
        return list(range(len(self.tasks) - len(tasks), len(self.tasks)))

    def wait(self, handles: Sequence[int], seconds: float) -> list[int]:
        return list(handles)

    def outcome(self, handle: int) -> Outcome:
        found = self._outcomes[handle]
        if found is None:
            raise Lost("it went away")
        return found

    def withdraw(self, handle: int) -> None:
        self.withdrawn.append(handle)

    def kill(self, handles: Sequence[int]) -> None:
        raise AssertionError("nobody asked for that")


@pytest.fixture
def waiting(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    """A sweep of three jobs, none of them begun."""
    with monkeypatch.context() as patch:
        patch.setattr("rlcli.sweeps.training.Training.train", lambda *_: None)
        words = [*SMALL, "seed=0,1,2"]
        command = multirun(words)
        return run_sweep(plan(command), command, quiet=True)


def supervised(
    pool: Inside, sweep: Sweep, count: int = 1, retries: int = 0
) -> tuple[int | None, list[Event]]:
    events: list[Event] = []
    cohorts = [["seed=0", "seed=1"], ["seed=2"]]
    code = supervise(pool, sweep.dir, cohorts, count, events.append, retries=retries)
    assert not (sweep.dir / FILE).exists()
    return code, events


def ended(events: list[Event]) -> list[RunEnded]:
    return [event for event in events if isinstance(event, RunEnded)]


def results(events: list[Event]) -> dict[str, str]:
    return {event.name: event.result.status for event in ended(events)}


@pytest.mark.broken_by(
    "jobs of a cohort given each other's configs",
    "sweeps/cohort_job.py",
    "[sweep.config(jobs[name]) for name in names],",
    "[sweep.config(jobs[name]) for name in reversed(names)],",
)
def test_every_job_is_trained_and_ends_once(waiting: Sweep, workplace: Path) -> None:
    pool = Inside()
    code, told = supervised(pool, waiting)
    assert code is None
    assert [task.names for task in pool.tasks] == [("seed=0", "seed=1"), ("seed=2",)]
    assert len(ended(told)) == 3
    assert results(told) == dict.fromkeys(("seed=0", "seed=1", "seed=2"), "finished")
    assert [event for event in told if isinstance(event, CohortEnded)] == [
        CohortEnded(("seed=0", "seed=1"), None), CohortEnded(("seed=2",), None),
    ]  # fmt: skip
    done = Sweep.read(waiting.dir)
    assert [f"seed={done.config(job).seed}" for job in done.jobs] == [job.name for job in done.jobs]
    assert_as_alone(done, workplace / "alone")


@pytest.mark.broken_by(
    "a lost cohort not tried again",
    "sweeps/launchers/supervision.py",
    "if not final and one.retries > 0:",
    "if False:",
)
def test_a_lost_cohort_is_tried_again_as_often_as_allowed(waiting: Sweep) -> None:
    pool = Inside(lost=2)
    _, told = supervised(pool, waiting, retries=1)
    assert [(task.names[0], task.retried) for task in pool.tasks] == [
        ("seed=0", False), ("seed=2", False), ("seed=0", True), ("seed=2", True),
    ]  # fmt: skip
    assert set(results(told).values()) == {"finished"}
    assert Message("it went away; the cohort of seed=2 is resumed.") in told


@pytest.mark.broken_by(
    "a lost cohort not told as failed",
    "sweeps/launchers/supervision.py",
    "elif outcome.exit_code is None and not final:",
    "elif False:",
)
def test_a_cohort_lost_for_good_fails_alone(waiting: Sweep) -> None:
    _, told = supervised(Inside(lost=1), waiting)
    assert results(told) == {"seed=0": "failed", "seed=1": "failed", "seed=2": "finished"}
    assert ("it went away", 1) in [(event.result.message, event.result.exit_code) for event in ended(told)]


@pytest.mark.broken_by(
    "cohorts handed over after a signal",
    "sweeps/launchers/supervision.py",
    "while submitted or (waiting and not stop):\n"
    "                free = 0 if stop else count - len(submitted)",
    "while submitted or waiting:\n                free = count - len(submitted)",
)
def test_after_a_signal_nothing_is_submitted_and_nothing_failed(waiting: Sweep) -> None:
    pool = Inside(lost=1, stop_after=1)
    code, told = supervised(pool, waiting, retries=5)
    assert (code, len(pool.tasks), pool.withdrawn, results(told)) == (143, 1, [0], {})
    assert Stopping() in told


def task_for(directory: Path, **changes: Any) -> Task:
    launcher = dataclasses.asdict(this_process()) | changes
    return Task(str(directory), ("seed=0",), launcher, "")


@pytest.mark.broken_by(
    "a worker begins that was told to stop",
    "sweeps/worker.py",
    "if not watcher.stop_asked:",
    "if True:",
)
def test_a_worker_that_is_asked_to_stop_does_not_begin(waiting: Sweep) -> None:
    with StopFile(waiting.dir) as stop_file:
        stop_file.stop()
        assert run_task(task_for(waiting.dir)).exit_code == 143
        assert not (waiting.dir / "seed=0" / "manifest.json").exists()


@pytest.mark.broken_by(
    "an order obeyed that somebody else gave",
    "sweeps/launchers/stop_file.py",
    'return content == self._launcher | {"stop": True}',
    'return content["stop"] is True',
)
def test_a_stop_file_is_for_the_workers_of_its_launcher(waiting: Sweep) -> None:
    with StopFile(waiting.dir) as stop_file:
        stop_file.stop()
        assert StopWatcher(waiting.dir, stop_file.launcher).stop_asked
        assert not StopWatcher(waiting.dir, stop_file.launcher | {"pid": 1}).stop_asked
    assert not StopWatcher(waiting.dir, stop_file.launcher).stop_asked


def test_a_stop_file_that_is_a_link_leads_nowhere(waiting: Sweep, workplace: Path) -> None:
    secret = workplace / "secret"
    secret.write_text(json.dumps(task_for(waiting.dir).launcher | {"stop": True}))
    before = secret.read_text()
    (waiting.dir / FILE).symlink_to(secret)
    assert not StopWatcher(waiting.dir, task_for(waiting.dir).launcher).stop_asked
    with StopFile(waiting.dir):
        assert not (waiting.dir / FILE).is_symlink()
    assert secret.read_text() == before


def test_the_stop_file_of_a_killed_sweep_is_removed_at_the_end_of_the_sweep(waiting: Sweep) -> None:
    """Whatever trains it to its end: here this process, which writes no stop file."""
    StopFile(waiting.dir).__enter__().stop()
    assert (waiting.dir / FILE).exists()
    done = resume_sweep(waiting.dir, quiet=True)
    assert done.status == "finished"
    assert not (waiting.dir / FILE).exists()


def test_a_second_signal_leaves_no_stop_file(waiting: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    codes: list[int] = []
    monkeypatch.setattr("rlcli.runs.stop.os._exit", codes.append)

    class Twice(Inside):
        def submit(self, tasks: Sequence[Task]) -> list[int]:
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGTERM)
            assert not (waiting.dir / FILE).exists()
            return super().submit(tasks)

        def kill(self, handles: Sequence[int]) -> None:
            assert (waiting.dir / FILE).exists()

    supervise(Twice(), waiting.dir, [["seed=0"]], 1, lambda _: None)
    assert codes == [143]


@pytest.mark.parametrize(
    ("change", "alone"), [({}, False), ({"started": "before"}, True), ({"host": "x"}, False)]
)
def test_whoever_started_a_worker_is_seen_on_the_same_host(
    change: dict[str, Any], alone: bool, waiting: Sweep
) -> None:
    assert StopWatcher(waiting.dir, task_for(waiting.dir, **change).launcher).launcher_gone is alone


def test_a_worker_that_does_not_find_the_sweep_says_so(waiting: Sweep) -> None:
    shutil.move(waiting.dir, "elsewhere")
    outcome = run_task(task_for(waiting.dir))
    assert str(waiting.dir) in str(outcome.lost)
    assert "share" in str(outcome.lost)


def test_a_defect_is_reported_by_the_worker(waiting: Sweep) -> None:
    (waiting.dir / "sweep.json").write_text("{")
    assert "sweep.json is damaged" in str(run_task(task_for(waiting.dir)).lost)


@pytest.mark.broken_by(
    "the lock of a process of this host forgotten",
    "store/lock.py",
    "    if found is not None and not found.here:\n        with",
    "    if found is not None:\n        with",
)
def test_only_a_lock_of_another_host_is_forgotten(waiting: Sweep) -> None:
    """The worker that had it is known to be gone, which cannot be seen from here."""
    lock = waiting.dir / "seed=0" / "lock"
    for host, left in ((this_process().host, True), ("elsewhere", False)):
        lock.write_text(json.dumps(dataclasses.asdict(this_process()) | {"host": host}))
        assert holder(lock.parent) is not None
        forget(lock.parent)
        assert lock.exists() is left


@pytest.mark.broken_by(
    "the failure of an earlier process told as news",
    "sweeps/launchers/supervision.py",
    'return about if starts or (run.started and about["status"] in OVER) else None',
    'return about if starts or about["status"] in OVER else None',
)
def test_what_an_earlier_process_left_is_no_event(waiting: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed job that is tried again has failed anew only when it has trained since."""
    monkeypatch.setattr(supervision, "POLL_EVERY", 0.0)
    monkeypatch.setattr(supervision, "POLL_COST", math.inf)
    run_task(task_for(waiting.dir))
    manifest = waiting.dir / "seed=0" / "manifest.json"
    content = json.loads(manifest.read_text())
    events: list[Event] = []
    poll = RunPoll(waiting.dir, events.append)

    def after(status: str) -> list[type]:
        manifest.write_text(json.dumps(content | {"status": status, "notes": status}))
        events.clear()
        poll.look()
        return [type(event) for event in events]

    after("failed")
    poll.add(["seed=0"])
    assert after("failed") == []
    monkeypatch.setattr("rlcli.store.directory.holder", lambda _: this_process())
    assert after("running") == [RunsStarted, RunRow]
    assert poll.started(["seed=0"])
    assert after("interrupted") == [], "it may be queued again"
    assert after("finished") == [RunEnded]
    assert poll.remove(["seed=0"]) == []
