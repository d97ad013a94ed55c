"""`rlcli report`: what it says and writes, of good runs and of bad ones, and what it refuses."""

from __future__ import annotations

import json
import random
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from rlcli.analysis.report import page
from rlcli.errors import StorageError
from scripts.report_runs import made_run, row
from tests.cli.conftest import Rlcli


@pytest.fixture(autouse=True)
def small_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "library", lambda: "")


def rows(count: int, **changes: Any) -> list[dict[str, Any]]:
    draw = random.Random(0)
    return [row(update, 256, draw, 1.0) | changes for update in range(1, count + 1)]


def run(name: str, seed: int = 0, count: int = 20, **manifest: Any) -> Path:
    return made_run(Path("runs") / name, [f"seed={seed}", "tuned=none"], rows(count), **manifest)


def content(file: str = "report.html") -> dict[str, Any]:
    found = re.search(r'id="content">(.*?)</script>', Path(file).read_text(), re.DOTALL)
    assert found
    return json.loads(found[1])


def test_a_report_of_several_runs_is_one_file(rlcli: Rlcli) -> None:
    run("a", 0)
    run("b", 1)
    ended = rlcli("report", "a", "b")
    assert ended.code == 0
    assert re.fullmatch(r"Saved to report.html \(0\.\d MB\)\n", ended.out)
    assert ended.err == "Reading 2 runs\n"
    made = content()
    assert [one["name"] for one in made["runs"]] == ["a", "b"]
    assert [one["seeds"] for one in made["groups"]] == [2]
    assert made["command"] == "rlcli report a b"
    assert set(made["environments"][0]["charts"]) == {*made["learning"], *made["health"]}
    assert rlcli("report", "a", "b", "-q").err == ""


def test_json_says_where_it_is_and_what_is_left_out(rlcli: Rlcli) -> None:
    run("a")
    (found,) = rlcli("report", "a", "--out", "x.html", "--json").rows()
    assert found == {"file": "x.html", "bytes": Path("x.html").stat().st_size, "runs": 1, "faults": []}


def test_a_sweep_is_its_runs_that_have_started(rlcli: Rlcli) -> None:
    for seed in range(2):
        run(f"s/seed={seed}", seed, sweep="s")
    job = {"overrides": [], "varied": [], "status": "finished", "exit_code": 0, "message": None}
    jobs = [job | {"name": f"seed={seed}"} for seed in range(2)]
    about = {"version": 2, "overrides": [], "started": "2026-11-30T09:00:00+00:00", "jobs": jobs}
    Path("runs/s/sweep.json").write_text(json.dumps(about))
    assert rlcli("report", "s").code == 0
    assert len(content()["runs"]) == 2


def test_runs_of_different_length_without_evaluation_and_with_figures_that_are_none(rlcli: Rlcli) -> None:
    run("long", 0, 300)
    run("short", 1, 7)
    nothing = [{"update": 1, "env_steps": 256, "behaviour/ess": float("nan"), "update/entropy": "x"}]
    made_run(Path("runs/nan"), ["seed=2", "tuned=none"], nothing)
    made_run(Path("runs/empty"), ["seed=3", "tuned=none"], [])
    ended = rlcli("report", "long", "short", "nan", "empty")
    assert ended.code == 0
    assert "runs/empty has no rows yet." in ended.err
    made = content()
    assert made["groups"][0]["returns"]["eval/return_mean"]["runs"] == 1
    assert made["runs"][2]["figures"]["behaviour/ess"] is None
    assert made["environments"][0]["extent"]["steps"] == [0, 300 * 256]


def test_damaged_rows_and_runs_are_named_on_the_page_and_on_stderr(rlcli: Rlcli) -> None:
    run("good")
    made_run(Path("runs/torn"), ["seed=1", "tuned=none"], [*rows(3), "{damaged", *rows(4)[3:]])
    run("lost", 2)
    (Path("runs/lost") / "config.yaml").unlink()
    run("linked", 3)
    Path("runs/linked/metrics.jsonl").unlink()
    Path("runs/linked/metrics.jsonl").symlink_to("/etc/passwd")
    ended = rlcli("report", "good", "torn", "lost", "linked")
    assert ended.code == 0
    faults = content()["faults"]
    assert len(faults) == 3
    for name, fault in zip(("lost", "torn", "linked"), faults, strict=True):
        assert fault.startswith(f"runs/{name}")
        assert fault in ended.err
    assert [one["name"] for one in content()["runs"]] == ["good", "torn"]


def test_no_run_left_is_an_error_and_writes_nothing(rlcli: Rlcli) -> None:
    run("a")
    Path("runs/a/metrics.jsonl").unlink()
    Path("runs/a/metrics.jsonl").symlink_to("/etc/passwd")
    ended = rlcli("report", "a")
    assert ended.code == 2
    assert "runs/a is left out" in ended.err
    assert rlcli("report", "nowhere").code == 2
    assert not Path("report.html").exists()


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("no/such/x.html", "--out no/such/x.html: there is no folder no/such."),
        ("runs", "--out runs: it is a folder."),
        ("notes.txt", "notes.txt exists and is not a report: it stays."),
        ("page.pdf", "the name of a report has to end in .html or .htm"),
        ("runs/a/metrics.jsonl", "exists and is not a report"),
    ],
)
def test_a_file_that_cannot_be_written_is_refused_before_anything_is_read(
    rlcli: Rlcli, out: str, message: str
) -> None:
    run("a")
    Path("notes.txt").write_text("mine")
    ended = rlcli("report", "a", "--out", out)
    assert ended.code == 2
    assert message in ended.err
    assert "Reading" not in ended.err
    assert Path("notes.txt").read_text() == "mine"


@pytest.mark.broken_by(
    "any file is replaced",
    "analysis/report/page.py",
    "if path.exists() and _beginning(path) != MARK:",
    "if False:",
)
def test_an_earlier_report_is_replaced_and_another_page_is_not(rlcli: Rlcli) -> None:
    run("a")
    assert rlcli("report", "a").code == 0
    first = content()["runs"][0]["updates"]
    shutil.rmtree("runs/a")
    run("a", count=21)
    assert rlcli("report", "a").code == 0
    assert content()["runs"][0]["updates"] == first + 1
    Path("report.html").write_text("<!doctype html>\n<p>mine</p>")
    assert rlcli("report", "a").code == 2
    assert "mine" in Path("report.html").read_text()


def test_a_full_disk_leaves_nothing_half_made(rlcli: Rlcli, monkeypatch: pytest.MonkeyPatch) -> None:
    run("a")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageError, match="the disk is full"):
        page.write(page_of("a"), Path("report.html"))
    assert sorted(path.name for path in Path().iterdir()) == ["runs"]


def page_of(name: str) -> Any:
    from rlcli.analysis.report.content import report
    from rlcli.analysis.selection import select

    return report(select([name], Path("runs")), None, 0)


def test_a_missing_package_is_named_with_the_command_that_installs_it(
    rlcli: Rlcli, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("a")
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    ended = rlcli("report", "a")
    assert ended.code == 2
    assert "vl-convert-python" in ended.err
    assert re.search(r"make.* install EXTRAS=report|pip install .*\[report\]", ended.err)


def test_settings_that_differ_have_slices_and_importance(rlcli: Rlcli) -> None:
    for place, rate in enumerate((0.001, 0.003, 0.01, 0.03)):
        draw = random.Random(place)
        found = [row(update, 256, draw, 0.1 * 5**place) for update in range(1, 101)]
        made_run(Path("runs") / f"r{place}", [f"algo.learning_rate={rate}", "tuned=none"], found)
    assert rlcli("report", *(f"r{place}" for place in range(4))).code == 0
    (setting,) = content()["environments"][0]["sweep"]["settings"]
    assert (setting["key"], setting["kind"], setting["correlation"]) == ("algo.learning_rate", "number", 1.0)
    assert [point[:2] for point in setting["points"]] == [[0, 0.001], [1, 0.003], [2, 0.01], [3, 0.03]]
    (differing,) = [one for one in content()["settings"] if one["key"] == "algo.learning_rate"]
    assert [value["text"] for value in differing["values"]] == ["0.001", "0.003", "0.01", "0.03"]


def test_alerts_are_found_in_all_rows_whatever_is_drawn(rlcli: Rlcli) -> None:
    found = rows(2_000)
    for one in found:
        one |= {"behaviour/ess": 0.9, "update/budget_used": 1.0, "behaviour/clip_fraction": 0.1,
                "update/entropy": 0.5, "update/explained_variance": 0.5}  # fmt: skip
    found[1_300]["behaviour/ess"] = 0.2
    made_run(Path("runs/a"), ["tuned=none"], found)
    assert rlcli("report", "a").code == 0
    assert content()["runs"][0]["alerts"] == [
        {"rule": "low ESS", "count": 1, "first": 1301, "last": 1301, "worst": 0.2, "worst_update": 1301,
         "worst_steps": 1301 * 256}
    ]  # fmt: skip
