"""What runs and results look like in a notebook, and that no text of a run is HTML there."""

from __future__ import annotations

import dataclasses
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import rlcli
from rlcli.runs.curve import LINES, POINTS, Line, svg
from rlcli.runs.evaluate import Figures
from rlcli.runs.html import LONGEST, grid, text
from rlcli.runs.result import Result

HARM = '<script>alert("1")</script>\x1b[2J'
KNOWN = {"div", "b", "table", "tr", "th", "td", "svg", "path", "text", "polyline", "span"}


class Tags(HTMLParser):
    """The elements of a page; whether every one is closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.attributes: set[str] = set()
        self.open: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.found.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.found.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def result(run_dir: Path, **changes: Any) -> Result:
    return dataclasses.replace(Result(run_dir, "id", "finished", 96, 3, 12.5, 0, None), **changes)


def test_results_and_runs_show_a_table_and_a_curve(finished: Path) -> None:
    for shown in (rlcli.load(finished), result(finished)):
        page = shown._repr_html_()
        tags = Tags(page)
        assert {"table", "svg", "polyline"} <= tags.found <= KNOWN
        assert "evaluation" in page
        assert str(finished) in page
    assert "12.50" in result(finished)._repr_html_()
    assert "message" not in result(finished)._repr_html_()


def test_an_evaluation_shows_its_figures(finished: Path) -> None:
    figures = rlcli.evaluate(finished, episodes=2)
    assert figures == dict(figures)
    assert "return_mean" in figures._repr_html_()
    assert Tags(figures._repr_html_()).found <= KNOWN


def test_a_sweep_shows_its_jobs(finished: Path, tmp_path: Path) -> None:
    rows = [{"seed": seed, "eval_return_mean": 1.5, "notes": HARM} for seed in range(LONGEST + 3)]
    shown = rlcli.SweepResult(
        tmp_path / "s", "finished", 0, (result(finished), result(tmp_path / "gone")), rows
    )
    page = shown._repr_html_()
    assert "and 3 more" in page
    assert Tags(page).found <= KNOWN
    assert page.count("<polyline") == 1


@pytest.mark.broken_by(
    "texts are not escaped", "runs/html.py", "html.escape(shortened(visible(shown)))", "shown"
)
def test_a_run_of_a_harmful_name_is_harmless(finished: Path, tmp_path: Path) -> None:
    """Its folder cannot have a slash in its name; its results can have any text."""
    run_dir = tmp_path / HARM.replace("/", "")
    shutil.copytree(finished, run_dir)
    sweep = rlcli.SweepResult(run_dir, HARM, 0, (result(run_dir),), [{HARM: HARM}])
    for shown in (
        rlcli.load(run_dir), result(run_dir, id=HARM, status=HARM, message=HARM), sweep,
        Figures({"dir": str(run_dir), HARM: HARM}),
    ):  # fmt: skip
        page = shown._repr_html_()
        assert "<script" not in page
        assert "\x1b" not in page
        assert Tags(page).found <= KNOWN
        assert "&lt;script&gt;" in page


@pytest.mark.broken_by(
    "titles of lines are not escaped", "runs/curve.py", "html.escape(visible(content))", "content"
)
def test_titles_of_lines_are_escaped() -> None:
    page = svg([Line(HARM, [(0.0, 0.0), (1.0, 1.0)])], HARM, '"' + HARM)
    tags = Tags(page)
    assert tags.found <= KNOWN
    assert "onload" not in tags.attributes
    assert "<script" not in page


def test_a_curve_spans_its_axes() -> None:
    page = svg([Line("a", [(0.0, -2.0), (50.0, 0.0), (100.0, 8.0)])], "x", "y")
    [points] = re.findall('points="([^"]*)"', page)
    assert points.split() == ["64.0,128.0", "266.0,104.4", "468.0,10.0"]
    for number in (">-2.00<", ">8.00<", ">100<", ">0<"):
        assert number in page


def test_long_and_many_lines_are_thinned() -> None:
    long = [(float(step), float(step % 7)) for step in range(10_001)]
    page = svg([Line(str(number), long) for number in range(LINES + 5)], "x", "y")
    drawn = re.findall('points="([^"]*)"', page)
    assert len(drawn) == LINES
    assert all(POINTS / 2 < len(one.split()) <= POINTS + 1 for one in drawn)
    assert all(one.split()[-1].startswith("468.0,") for one in drawn)


def test_what_cannot_be_drawn_is_left_out(tmp_path: Path) -> None:
    assert svg([], "x", "y") == svg([Line("a", [])], "x", "y") == ""
    assert "polyline" in svg([Line("a", [(1.0, 1.0)])], "x", "y")
    assert "svg" not in result(tmp_path / "no run")._repr_html_()
    (tmp_path / "metrics.jsonl").write_text('{"update": 1, "env_steps": "x", "eval/return_mean": "<b>"}\n')
    assert "svg" not in result(tmp_path)._repr_html_()
    assert grid([]) == "<table><tr></tr></table>"
    assert text(None) == "-"
