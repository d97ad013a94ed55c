"""Rows of metrics.jsonl as columns, the runs that arguments mean, groups of them, and their curves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rlcli.analysis import curves
from rlcli.analysis.curves import curve, thinned
from rlcli.analysis.history import History, read_history


def written(folder: Path, *lines: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "metrics.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return folder


def row(update: int, **figures: object) -> str:
    return json.dumps({"update": update, "env_steps": 10 * update, **figures})


def test_columns_have_nan_where_a_row_lacks_a_metric(tmp_path: Path) -> None:
    history = read_history(written(tmp_path, row(1, a=2), row(2), row(3, a=0.5, b=1)))
    assert history.columns["a"].tolist()[::2] == [2, 0.5]
    assert np.isnan(history.columns["a"][1])
    assert np.isnan(history.columns["b"][:2]).all()
    assert history.last("b") == 1
    assert history.last("c") is None


def test_an_update_written_twice_counts_once_and_damaged_lines_are_counted(tmp_path: Path) -> None:
    history = read_history(written(tmp_path, row(1, a=1), "{broken", row(2, a=2), row(1, a=3), "[]"))
    assert history.columns["update"].tolist() == [1, 2]
    assert history.columns["a"].tolist() == [3, 2]
    assert history.damaged == 2


def test_what_is_no_finite_number_is_left_out(tmp_path: Path) -> None:
    bad = '{"update": 1, "env_steps": 1, "a": NaN, "b": "<script>", "c": [1], "d": true, "e": 1e999}'
    history = read_history(written(tmp_path, bad))
    assert set(history.columns) == {"update", "env_steps", "time/elapsed"}


def test_a_torn_last_line_is_no_damage(tmp_path: Path) -> None:
    folder = written(tmp_path, row(1))
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"update": 2, "env')
    assert read_history(folder).damaged == 0


def test_seconds_go_on_where_a_run_was_resumed(tmp_path: Path) -> None:
    rows = [row(u + 1, **{"time/elapsed": s}) for u, s in enumerate([1.0, 2.0, 0.5, 1.5, 0.25])]
    assert read_history(written(tmp_path, *rows)).axis("seconds").tolist() == [1, 2, 2.5, 3.5, 3.75]


def of(values: list[float], steps: list[float] | None = None) -> History:
    updates = np.arange(1.0, len(values) + 1)
    columns = {"update": updates, "env_steps": np.array(steps or 10 * updates), "a": np.array(values)}
    return History(columns, 0)


def test_a_curve_is_the_interquartile_mean_of_equal_positions() -> None:
    found = curve([of([1, 2]), of([3, 4]), of([5, 9]), of([100, 100])], "a", "steps")
    assert found is not None
    assert found.centre.tolist() == [4, 6.5]
    assert (found.low <= found.centre).all()
    assert (found.high >= found.centre).all()
    assert found.count.tolist() == [4, 4]


def test_blocks_of_positions_give_the_same_band(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    histories = [of(generator.normal(size=30).tolist()) for _ in range(5)]
    whole = curve(histories, "a", "steps")
    monkeypatch.setattr(curves, "ELEMENTS", 2_000 * 5 * 7)
    pieces = curve(histories, "a", "steps")
    assert whole is not None
    assert pieces is not None
    assert (whole.low == pieces.low).all()
    assert (whole.high == pieces.high).all()


def test_values_whose_squares_are_infinite_are_left_out() -> None:
    assert of([1.0, 1e300, -1e300, 2.0]).points("a", "updates")[1].tolist() == [1.0, 2.0]


def test_runs_of_different_length_are_counted_where_they_are() -> None:
    found = curve([of([1, 1]), of([3, 3, 3, 3])], "a", "updates", points=4)
    assert found is not None
    assert found.x.tolist() == [1, 2, 3, 4]
    assert found.count.tolist() == [2, 2, 1, 1]
    assert found.centre.tolist() == [2, 2, 3, 3]


def test_thinned_points_keep_the_extremes() -> None:
    x = np.arange(10_000.0)
    y = np.sin(x / 500)
    y[4_321], y[8_765] = 7, -7
    few_x, few_y = thinned(x, y, 50)
    assert len(few_x) <= 200
    assert (few_y.max(), few_y.min()) == (7, -7)
    assert (few_x[0], few_x[-1]) == (0, 9_999)
