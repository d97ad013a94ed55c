from __future__ import annotations

import json
import math

import pytest

from rlcli.errors import StorageError
from rlcli.store.record import overview, timed_rows

STARTED = "2026-01-02T03:04:05.000000+00:00"
MANIFEST = {"started": STARTED, "resumes": []}
BEGUN = 1767323045.0


def write(folder, *lines, end="\n"):
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    (folder / "metrics.jsonl").write_text("\n".join(texts) + end)


def row(update, elapsed=None, **more):
    found = {"update": update, "env_steps": 8 * update, **more}
    return found if elapsed is None else found | {"time/elapsed": elapsed}


@pytest.mark.broken_by(
    "the rows of a resumed run are timed by its first process",
    "store/record.py",
    "del processes[0]",
    "break",
)
def test_each_row_is_timed_from_the_start_of_its_process(tmp_path):
    write(tmp_path, row(1, 2.0), row(2, 4.5), row(3, 1.0), row(4), row(5, 1.5), row(6, 0.25))
    resumes = [
        {"update": 2, "time": "2026-01-02T03:05:05+00:00"},
        {"update": 5, "time": "2026-01-02T04:04:05+00:00"},
    ]
    times = [at - BEGUN for _, at in timed_rows(tmp_path, {"started": STARTED, "resumes": resumes})]
    assert times == [2.0, 4.5, 61.0, 61.0, 61.5, 3600.25]


def test_times_never_go_back(tmp_path):
    write(tmp_path, row(1, 9.0), row(2, -1.0), row(3, 1e300), row(4, 8.0), row(5, 9.5))
    assert [at - BEGUN for _, at in timed_rows(tmp_path, MANIFEST)] == [9.0, 9.0, 9.0, 9.0, 9.5]


def test_rows_are_those_up_to_an_update_in_order(tmp_path):
    write(tmp_path, row(1), row(2), row(2, again=1.0), row(4), row(3), row(5))
    assert [found["update"] for found, _ in timed_rows(tmp_path, MANIFEST)] == [1, 2, 4, 5]
    assert [found["update"] for found, _ in timed_rows(tmp_path, MANIFEST, until=4)] == [1, 2, 4]
    assert overview(tmp_path).faults == (
        "2 lines left out, damaged or out of order: lines 3, 5", "1 update has no row",
    )  # fmt: skip


def test_only_finite_numbers_and_lists_of_them_are_figures(tmp_path):
    write(
        tmp_path, row(1, a=1, b="x", c=math.nan, d=[1.0, 2.0], e=[1.0, None], f={"g": 1}, h=True, i=10**400)
    )
    [(found, _)] = timed_rows(tmp_path, MANIFEST)
    assert found == {"update": 1, "env_steps": 8, "a": 1, "d": [1.0, 2.0]}


def test_damaged_lines_are_named_and_a_line_being_written_is_none(tmp_path):
    write(tmp_path, row(1), "{torn", row(2), '"text"', row(3), '{"update": 4', end="")
    found = overview(tmp_path)
    assert (found.rows, found.last) == (3, 3)
    assert found.faults == ("2 lines left out, damaged or out of order: lines 2, 4",)
    write(tmp_path, *["?"] * 9)
    assert overview(tmp_path).faults == (
        "9 lines left out, damaged or out of order: lines 1, 2, 3, 4, 5 ...",
    )


def test_a_run_without_rows_has_none(tmp_path):
    assert overview(tmp_path) == (overview(tmp_path).__class__(0, 0, ()))
    assert list(timed_rows(tmp_path, MANIFEST)) == []


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "elsewhere").write_text(json.dumps(row(1)) + "\n")
    (tmp_path / "metrics.jsonl").symlink_to("elsewhere")
    with pytest.raises(StorageError, match="link"):
        overview(tmp_path)


@pytest.mark.parametrize("text", ["yesterday", "", "0001-01-01T00:00:00+23:59", "1900-01-01T00:00:00+00:00"])
def test_a_start_that_is_no_time_is_none(text, tmp_path):
    write(tmp_path, row(1, 2.0))
    assert [at for _, at in timed_rows(tmp_path, {"started": text, "resumes": []})] == [2.0]
