from __future__ import annotations

import pytest

from rlcli.loggers.progress import WINDOW, Progress, duration, figure, share
from rlcli.loggers.sparkline import CAPACITY, Series


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"), (0.0, "0"), (500.0, "500.0"), (12345.6, "12,346"), (-187.34, "-187.3"), (9.214, "9.21"),
        (0.00812, "0.0081"), (3.24e-6, "3.2e-06"), (-0.5, "-0.5000"), (1.5e9, "1.50e+09"),
    ],
)  # fmt: skip
def test_figures(value, text):
    assert figure(value) == text


def test_shares():
    assert [share(value) for value in (None, 0.0, 0.9854, 1.0)] == ["-", "0.000", "0.985", "1.000"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0.4, "0 s"), (59.4, "59 s"), (59.6, "1 m 00 s"), (187, "3 m 07 s"), (7540, "2 h 05 m")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_speed_and_time_left(clock):
    progress = Progress(2_000, 10_000, clock)
    assert (progress.fraction, progress.speed, progress.left) == (0.2, None, None)
    clock.now += 5.0
    progress.reach(3_000)
    assert (progress.speed, progress.left) == (None, None)
    clock.now += 1.0
    progress.reach(4_000)
    assert (progress.fraction, progress.speed, progress.left, progress.elapsed) == (0.4, 1_000.0, 6.0, 6.0)


def test_speed_is_of_late(make_info, clock):
    progress = Progress(0, 1_000_000, clock)
    for second in range(1, 101):
        clock.now += 1.0
        progress.reach(100 * second if second <= 50 else 5_000 + 300 * (second - 50))
        assert second < 50 + WINDOW + 1 or progress.speed == pytest.approx(300.0)


def test_a_sparkline_goes_from_the_least_to_the_greatest():
    series = Series()
    assert series.sparkline(8) == ""
    for value in range(8):
        series.add(float(value))
    assert series.sparkline(8) == "▁▂▃▄▅▆▇█"
    assert series.sparkline(4) == "▁▃▆█"
    assert series.sparkline(8, minimum=-8.0)[0] == "▅"
    assert series.sparkline(8, maximum=15.0)[-1] == "▄"


def test_a_long_course_is_averaged_not_thinned():
    series = Series()
    for _ in range(CAPACITY):
        series.add(0.0)
        series.add(1.0)
    assert series.sparkline(4, minimum=0.0, maximum=1.0) == "▅▅▅▅"


def test_a_sparkline_shows_the_whole_run_in_bounded_memory():
    series = Series()
    for step in range(64 * CAPACITY):
        series.add(float(step))
    assert series.sparkline(16) == "▁▁▂▂▃▃▄▄▅▅▆▆▇▇██"
    assert len(series._points) <= CAPACITY
