from __future__ import annotations

import json
from pathlib import Path

import pytest

from rlcli.errors import NonFiniteError, StorageError
from rlcli.loggers import jsonl
from rlcli.loggers.jsonl import JsonlLogger


def lines(info):
    return (info.dir / "metrics.jsonl").read_text().splitlines()


def test_rows_come_back_exactly_and_before_the_end(info, make_row):
    logger = JsonlLogger(info)
    written = [make_row(update, loss__policy=0.1 + update / 3) for update in (1, 2)]
    for row in written:
        logger.log(row)
    assert [json.loads(line) for line in lines(info)] == written
    logger.close("finished")
    logger.close("finished")


def test_a_later_process_appends(info, make_row):
    for update in (1, 2):
        logger = JsonlLogger(info)
        logger.log(make_row(update))
        logger.close("interrupted")
    assert [json.loads(line)["update"] for line in lines(info)] == [1, 2]


@pytest.mark.parametrize("torn", ['{"update": 2, "env', "x" * 3_000])
def test_a_torn_last_line_is_cut_before_rows_are_appended(info, make_row, torn):
    path = info.dir / "metrics.jsonl"
    path.write_text('{"update": 1}\n' + torn)
    logger = JsonlLogger(info)
    logger.log(make_row(2))
    logger.close("finished")
    assert [json.loads(line)["update"] for line in lines(info)] == [1, 2]


def test_whole_lines_are_kept(info):
    path = info.dir / "metrics.jsonl"
    path.write_text('{"update": 1}\n{"update": 2}\n')
    JsonlLogger(info).close("finished")
    assert path.read_text() == '{"update": 1}\n{"update": 2}\n'


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), [0.5, float("nan")]])
def test_numbers_that_are_not_finite_are_refused_by_name(info, make_row, bad):
    logger = JsonlLogger(info)
    with pytest.raises(NonFiniteError, match=r"^Update 7: a figure is not finite: loss/value\.$"):
        logger.log(make_row(7, loss__value=bad))
    logger.close("failed")
    assert lines(info) == []


def test_a_directory_that_is_gone_is_a_storage_error(make_info, tmp_path):
    with pytest.raises(StorageError, match=r"metrics\.jsonl: No such file"):
        JsonlLogger(make_info(dir=tmp_path / "gone"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_a_storage_error_once(info, make_row, monkeypatch):
    full = Path("/dev/full").open("a")  # noqa: SIM115
    with monkeypatch.context() as patched:
        patched.setattr(jsonl, "open_append", lambda path: full)
        patched.setattr(jsonl, "_drop_torn_line", lambda path: None)
        logger = JsonlLogger(info)
    with pytest.raises(StorageError, match="No space left on device"):
        logger.log(make_row(1))
    logger.close("failed")
