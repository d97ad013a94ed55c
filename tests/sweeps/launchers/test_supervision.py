"""Cohorts handed to a pool, here one that trains them in this process: what is told, and what tried again."""

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

from rlcli.runs.lock import forget, holder, this_process
from rlcli.sweeps.launchers import following
from rlcli.sweeps.launchers.order import FILE, Order, Watcher
from rlcli.sweeps.launchers.remote import Outcome, Task, carry_out
from rlcli.sweeps.launchers.supervision import Lost, supervise
from rlcli.sweeps.multirun import resume_sweep, run_sweep
from rlcli.sweeps.plan import plan
from rlcli.sweeps.sweep import Sweep
from tests.sweeps.composing import multirun
from tests.sweeps.conftest import SMALL
from tests.sweeps.test_multirun import assert_as_alone


class Inside:
    """Trains what it is handed at once; the first `lost` cohorts end without a word."""

    def __init__(self, lost: int = 0, stop_after: int | None = None) -> None:
        self.tasks: list[Task] = []
        self.withdrawn: list[int] = []
        self._lost, self._stop_after = lost, stop_after
        self._outcomes: list[Outcome | None] = []

    def submit(self, tasks: Sequence[Task]) -> list[int]:
        for task in tasks:
            self.tasks.append(task)
            lost = len(self.tasks) <= self._lost
            self._outcomes.append(None if lost else carry_out(task))
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


def supervised(pool: Inside, sweep: Sweep, count: int = 1, retries: int = 0) -> tuple[int | None, list[Any]]:
    told: list[Any] = []
    units = [["seed=0", "seed=1"], ["seed=2"]]
    code = supervise(pool, sweep.dir, units, count, lambda *event: told.append(event), retries=retries)
    assert not (sweep.dir / FILE).exists()
    return code, told


def results(told: list[Any]) -> dict[str, str]:
    return {content[0]: content[1]["status"] for kind, content in told if kind == "result"}


@pytest.mark.broken_by(
    "jobs of a cohort given each other's configs",
    "sweeps/unit.py",
    "[sweep.config(jobs[name]) for name in names],",
    "[sweep.config(jobs[name]) for name in reversed(names)],",
)
def test_every_job_is_trained_and_told_once(waiting: Sweep, workplace: Path) -> None:
    pool = Inside()
    code, told = supervised(pool, waiting)
    assert code is None
    assert [task.names for task in pool.tasks] == [("seed=0", "seed=1"), ("seed=2",)]
    assert [kind for kind, _ in told].count("result") == 3
    assert results(told) == dict.fromkeys(("seed=0", "seed=1", "seed=2"), "finished")
    assert [content for kind, content in told if kind == "ended"] == [
        (["seed=0", "seed=1"], None), (["seed=2"], None),
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
    assert ("say", "it went away; the cohort of seed=2 is taken up again.") in told


@pytest.mark.broken_by(
    "a lost cohort not told as failed",
    "sweeps/launchers/supervision.py",
    'elif outcome["code"] is None and not final:',
    "elif False:",
)
def test_a_cohort_lost_for_good_fails_alone(waiting: Sweep) -> None:
    _, told = supervised(Inside(lost=1), waiting)
    assert results(told) == {"seed=0": "failed", "seed=1": "failed", "seed=2": "finished"}
    assert ("it went away", 1) in [
        (content[1]["message"], content[1]["exit_code"]) for kind, content in told if kind == "result"
    ]


@pytest.mark.broken_by(
    "cohorts handed over after a signal",
    "sweeps/launchers/supervision.py",
    "while sent or (waiting and not stop):\n                free = 0 if stop else count - len(sent)",
    "while sent or waiting:\n                free = count - len(sent)",
)
def test_after_a_signal_nothing_is_handed_over_and_nothing_failed(waiting: Sweep) -> None:
    pool = Inside(lost=1, stop_after=1)
    code, told = supervised(pool, waiting, retries=5)
    assert (code, len(pool.tasks), pool.withdrawn, results(told)) == (143, 1, [0], {})
    assert ("say", "Stopping after this update; once more ends at once.") in told


def task_for(directory: Path, **changes: Any) -> Task:
    starter = dataclasses.asdict(this_process()) | changes
    return Task(str(directory), ("seed=0",), starter, "")


@pytest.mark.broken_by(
    "a worker begins that was told to stop",
    "sweeps/launchers/remote.py",
    "if not watcher.told_to_stop:",
    "if True:",
)
def test_a_worker_that_is_told_to_stop_does_not_begin(waiting: Sweep) -> None:
    with Order(waiting.dir) as order:
        order.stop()
        assert carry_out(task_for(waiting.dir))["code"] == 143
        assert not (waiting.dir / "seed=0" / "manifest.json").exists()


@pytest.mark.broken_by(
    "an order obeyed that somebody else gave",
    "sweeps/launchers/order.py",
    'return found == self._starter | {"stop": True}',
    'return found["stop"] is True',
)
def test_an_order_is_for_the_workers_of_who_gave_it(waiting: Sweep) -> None:
    with Order(waiting.dir) as order:
        order.stop()
        assert Watcher(waiting.dir, order.starter).told_to_stop
        assert not Watcher(waiting.dir, order.starter | {"pid": 1}).told_to_stop
    assert not Watcher(waiting.dir, order.starter).told_to_stop


def test_an_order_that_is_a_link_leads_nowhere(waiting: Sweep, workplace: Path) -> None:
    secret = workplace / "secret"
    secret.write_text(json.dumps(task_for(waiting.dir).starter | {"stop": True}))
    before = secret.read_text()
    (waiting.dir / FILE).symlink_to(secret)
    assert not Watcher(waiting.dir, task_for(waiting.dir).starter).told_to_stop
    with Order(waiting.dir):
        assert not (waiting.dir / FILE).is_symlink()
    assert secret.read_text() == before


def test_the_order_of_a_killed_sweep_goes_when_the_sweep_is_over(waiting: Sweep) -> None:
    """Whatever trains it to its end: here this process, which gives no orders."""
    Order(waiting.dir).__enter__().stop()
    assert (waiting.dir / FILE).exists()
    done = resume_sweep(waiting.dir, quiet=True)
    assert done.status == "finished"
    assert not (waiting.dir / FILE).exists()


def test_a_second_signal_leaves_no_order(waiting: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []
    monkeypatch.setattr("rlcli.runs.stop.os._exit", ended.append)

    class Twice(Inside):
        def submit(self, tasks: Sequence[Task]) -> list[int]:
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGTERM)
            assert not (waiting.dir / FILE).exists()
            return super().submit(tasks)

        def kill(self, handles: Sequence[int]) -> None:
            assert (waiting.dir / FILE).exists()

    supervise(Twice(), waiting.dir, [["seed=0"]], 1, lambda *_: None)
    assert ended == [143]


@pytest.mark.parametrize(
    ("change", "alone"), [({}, False), ({"started": "before"}, True), ({"host": "x"}, False)]
)
def test_whoever_started_a_worker_is_seen_on_the_same_host(
    change: dict[str, Any], alone: bool, waiting: Sweep
) -> None:
    assert Watcher(waiting.dir, task_for(waiting.dir, **change).starter).alone is alone


def test_a_worker_that_does_not_find_the_sweep_says_so(waiting: Sweep) -> None:
    shutil.move(waiting.dir, "elsewhere")
    outcome = carry_out(task_for(waiting.dir))
    assert str(waiting.dir) in outcome["lost"]
    assert "share" in outcome["lost"]


def test_a_defect_is_told_by_the_worker(waiting: Sweep) -> None:
    (waiting.dir / "sweep.json").write_text("{")
    assert "sweep.json is damaged" in carry_out(task_for(waiting.dir))["lost"]


@pytest.mark.broken_by(
    "the lock of a process of this host forgotten",
    "runs/lock.py",
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
    "sweeps/launchers/following.py",
    'return about if begins or (job.begun and about["status"] in OVER) else None',
    'return about if begins or about["status"] in OVER else None',
)
def test_what_an_earlier_process_left_is_no_news(waiting: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed job that is tried again has failed anew only when it has trained since."""
    monkeypatch.setattr(following, "EVERY", 0.0)
    monkeypatch.setattr(following, "COST", math.inf)
    carry_out(task_for(waiting.dir))
    manifest = waiting.dir / "seed=0" / "manifest.json"
    content = json.loads(manifest.read_text())
    told: list[Any] = []
    follow = following.Following(waiting.dir, lambda kind, what: told.append((kind, what)))

    def stands(status: str) -> list[Any]:
        manifest.write_text(json.dumps(content | {"status": status, "notes": status}))
        told.clear()
        follow.look()
        return [kind for kind, _ in told]

    stands("failed")
    follow.follow(["seed=0"])
    assert stands("failed") == []
    monkeypatch.setattr("rlcli.runs.directory.holder", lambda _: this_process())
    assert stands("running") == ["begun", "row"]
    assert follow.begun(["seed=0"])
    assert stands("interrupted") == [], "it may be queued again"
    assert stands("finished") == ["result"]
    assert follow.leave(["seed=0"]) == []
