"""Estimate of the time that an update still takes."""

from __future__ import annotations

import pytest

from rlcli.runs.update_time import UpdateTime


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_nothing_is_known_before_the_first_steps(clock: Clock) -> None:
    times = UpdateTime(100, clock)
    assert times.left() == ""
    times.begin(1)
    clock.now = 5.0
    assert times.left() == ""


def test_the_first_rollout_takes_at_least_its_steps_at_the_pace_so_far(clock: Clock) -> None:
    times = UpdateTime(100, clock)
    times.begin(1)
    clock.now = 10.0
    times.collected((0,), 25)
    assert times.left() == "at least 30 s"
    clock.now = 16.0
    assert times.left() == "at least 24 s"
    times.collected((0,), 100)
    assert times.left() == ""


@pytest.mark.broken_by(
    "learning left out of the estimate",
    "runs/update_time.py",
    "collecting + self._last_learning - elapsed",
    "collecting - elapsed",
)
@pytest.mark.broken_by(
    "the pace of the last rollout instead of this one",
    "runs/update_time.py",
    "if self._done:",
    "if False:",
)
def test_a_later_update_counts_its_own_pace_and_the_last_learning(clock: Clock) -> None:
    times = UpdateTime(100, clock)
    times.begin(1)
    clock.now = 40.0
    times.collected((0,), 100)
    clock.now = 50.0
    times.end()
    assert times.left() == ""
    times.begin(1)
    assert times.left() == "about 50 s"
    clock.now = 60.0  # twice as fast as before: 10 s of the rollout are left
    times.collected((0,), 50)
    assert times.left() == "about 20 s"
    clock.now = 70.0
    times.collected((0,), 100)
    clock.now = 73.0
    assert times.left() == "about 7 s"
    clock.now = 99.0
    assert times.left() == "about 0 s"


def test_runs_that_collect_one_after_another_share_the_update(clock: Clock) -> None:
    times = UpdateTime(100, clock)
    times.begin(2)
    clock.now = 10.0
    times.collected((0,), 100)
    assert times.left() == "at least 10 s"
    clock.now = 15.0
    times.collected((1,), 50)
    assert times.left() == "at least 5 s"
