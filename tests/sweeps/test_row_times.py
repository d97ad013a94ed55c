"""Estimate of the time until workers have finished their updates."""

from __future__ import annotations

from rlcli.sweeps.row_times import RowTimes


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_slowest_run_counts_with_what_its_update_has_left() -> None:
    clock = Clock()
    times = RowTimes(clock)
    assert times.left() == ""
    times.row("slow", {"update": 1})
    times.row("quick", {"update": 10})
    assert times.left() == ""
    clock.now = 20.0
    times.row("slow", {"update": 2})
    times.row("quick", {"update": 20})
    clock.now = 25.0
    assert times.left() == "about 15 s"
    clock.now = 60.0
    assert times.left() == "about 0 s"
    times.ended("slow")
    times.ended("quick")
    assert times.left() == ""
