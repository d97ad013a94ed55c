"""Series of charts: extremes stay, lines of runs are aligned, axes are shared, sizes are bounded."""

from __future__ import annotations

import numpy as np
import pytest

from rlcli.analysis.history import History
from rlcli.analysis.report.alerts import alerts
from rlcli.analysis.report.series import BUCKETS, buckets_for, chart, figures, number, shared_domain

KL = "behaviour/kl_mu_pi"


def history(metric: str, values: list[float] | np.ndarray) -> History:
    updates = np.arange(1.0, len(values) + 1)
    position = {"update": updates, "env_steps": 256 * updates, "time/elapsed": 0.1 * updates}
    return History(position | {metric: np.array(values, np.float64)}, 0)


def drawn(metric: str, *lines: list[float] | np.ndarray) -> dict:
    histories = [history(metric, line) for line in lines]
    found = chart(metric, [(0, range(len(lines)))], histories, [alerts(one) for one in histories], [10] * 9)
    assert found is not None
    return found


@pytest.mark.broken_by(
    "the range of the runs is that of the band",
    "analysis/report/series.py",
    "np.maximum.at(highest, nearest, y)",
    "np.maximum.at(highest, nearest, 0 * y)",
)
def test_a_peak_of_one_update_is_in_the_range_of_the_group_and_in_the_line_of_the_run() -> None:
    quiet, peaked = np.full(2_000, 0.01), np.full(2_000, 0.01)
    peaked[1_234] = 7.0
    found = drawn(KL, quiet, peaked)
    for axis in ("steps", "seconds"):
        assert max(found["curves"][0][axis]["highest"]) == 7
        assert len(found["curves"][0][axis]["x"]) <= 101
    assert max(found["runs"][1]["y"]) == 7
    assert len(found["runs"][1]["y"]) <= 40
    place = found["runs"][1]["y"].index(7)
    assert found["runs"][1]["steps"][place] == 256 * 1_235
    assert found["runs"][1]["seconds"][place] == pytest.approx(123.5)


def test_a_lone_run_has_a_line_and_no_curve() -> None:
    assert drawn(KL, [0.1, 0.2])["curves"] == {}


def test_no_run_has_the_metric() -> None:
    assert chart("update/entropy", [(0, [0])], [history(KL, [1])], [[]], [10]) is None


def test_alerts_are_marked_with_their_worst_value() -> None:
    values = np.ones(500)
    values[100:300] = 0.4
    values[200] = 0.05
    mark = drawn("behaviour/ess", values)["alerts"][0]
    assert mark["count"] == 200
    assert len(mark["y"]) <= 16
    assert min(mark["y"]) == 0.05
    assert mark["steps"][mark["y"].index(0.05)] == 201 * 256


def test_axes_are_shared_and_hold_every_value() -> None:
    histories = [history(KL, [1e-12, 0.02]), history(KL, [3.0])]
    assert shared_domain(KL, "log", histories) == [1e-8, 10]
    assert shared_domain("behaviour/ess", "share", histories) == [0, 1]
    assert shared_domain("eval/return_mean", None, histories) is None
    low, high = shared_domain(
        "update/explained_variance", "symlog", [history("update/explained_variance", [-90])]
    )
    assert low is not None
    assert low < -90
    assert high == 1
    assert shared_domain(KL, "log", [])


def test_lines_are_shorter_where_there_are_very_many_runs() -> None:
    assert buckets_for([2_000]) == [BUCKETS[1]]
    assert buckets_for([2_000] * 300)[0] < buckets_for([2_000] * 150)[0]
    assert buckets_for([2_000] * 10_000)[0] == BUCKETS[0]
    assert buckets_for([60] * 300 + [10_000])[-1] == BUCKETS[1]
    assert buckets_for([0]) == [BUCKETS[0]]


def test_numbers_are_short() -> None:
    assert [number(value) for value in (1 / 3, 51_200.0, 1e-9 / 3, float("nan"), float("inf"))] == [
        0.3333, 51_200, 3.333e-10, None, None,
    ]  # fmt: skip


def test_figures_of_a_run_are_last_values_and_medians() -> None:
    found = figures(history("eval/return_mean", [1, 9, np.nan, 4]))
    assert (found["eval/return_mean"], found["best"], found["behaviour/ess"]) == (4, 9, None)
    assert figures(history("behaviour/ess", [1, 0.2, 0.9]))["behaviour/ess"] == 0.9
    assert figures(history("behaviour/ess", [1, 0.2, 0.9]))["lowest ESS"] == 0.2
