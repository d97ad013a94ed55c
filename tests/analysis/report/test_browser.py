"""The report in a real browser: it draws, answers pointer and keyboard, reaches nothing, executes nothing."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rlcli.analysis.report.content import report
from rlcli.analysis.report.page import page, write
from rlcli.analysis.selection import select
from rlcli.store.lock import Lock
from scripts.browser import address, browser, draw_all, missing
from scripts.report_runs import made_run, row

pytestmark = pytest.mark.skipif(missing() is not None, reason=f"no browser: {missing()}")
MARK = "window.executed = 1"
EVIL = f"</script><script>{MARK}</script><img src=x onerror='{MARK}'>\u2028<!-- \" ' ${{{MARK}}} \x1b[2J"


def made(root: Path) -> Path:
    """A report on two environments, two algorithms, three seeds, one alert, a video, and hostile runs."""
    for algo in ("ppo", "a2c"):
        for seed in range(3):
            draw = random.Random(f"{algo}{seed}")
            rows = [row(update, 256, draw, 2.0 if algo == "ppo" else 0.5) for update in range(1, 301)]
            if (algo, seed) == ("ppo", 1):
                rows[149]["behaviour/ess"] = 0.11
            made_run(root / f"{algo}-{seed}", [f"algo={algo}", f"seed={seed}", "tuned=none"], rows)
    other = [row(update, 2_048, random.Random(9), 1.0) for update in range(1, 50)]
    made_run(root / "pendulum", ["env=Pendulum-v1", "tuned=none"], other, status="running", finished=None)
    for number in range(2):
        hostile = made_run(
            root / f"<script>{MARK}<!--{number}",
            ["tuned=none"],
            [*other[:9], "{damaged", {"update": 10, "env_steps": 10, "behaviour/ess": float("nan")}],
            **dict.fromkeys(("name", "notes", "env", "message", "algo", "started"), EVIL),
            tags=[EVIL],
            overrides=[f"notes={EVIL}"],
            id=f"0000000{number}",
            status="failed",
            packages={EVIL: EVIL},
            machine={"cpu": EVIL},
        )
        config = hostile / "config.yaml"
        kwargs = json.dumps({f"<b onclick={MARK}>": f"{EVIL}{number}"})
        config.write_text(config.read_text().replace("kwargs: {}", f"kwargs: {kwargs}"))
        assert MARK in config.read_text()
    (root / "ppo-0" / "videos").mkdir()
    (root / "ppo-0" / "videos" / "best.mp4").write_bytes(b"\0\0\0\x18ftypisom" + bytes(100))
    runs = sorted(root.iterdir(), key=lambda path: (path.name.startswith("<"), path.name))
    lock = Lock(root / "pendulum")
    found = report(select([str(path) for path in runs], root), "rlcli report x", 10**6)
    lock.release()
    write(found, root / "report.html")
    return root / "report.html"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def started() -> Iterator[Any]:
    with browser() as found:
        yield found


@pytest.fixture
def opened(started: Any, file: Path) -> Iterator[Callable[..., Any]]:
    """Opens the report; at the end nothing was complained of, asked for over a network, or executed."""
    contexts, complaints = [], []

    def open_page(width: int = 1440, height: int = 900, **options: Any) -> Any:
        context = started.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        shown = context.new_page()
        shown.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
        shown.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        shown.on("dialog", lambda dialog: (complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        shown.on("request", lambda asked: complaints.append(asked.url) if not local(asked.url) else None)
        shown.goto(address(file))
        shown.wait_for_selector("#provenance")
        return shown

    def local(url: str) -> bool:
        return url == address(file) or url.startswith(("data:", "blob:"))

    yield open_page
    for context in contexts:
        for shown in context.pages:
            assert shown.evaluate("window.executed") is None
        context.close()
    assert complaints == []


def drawn(shown: Any, selector: str = "#env-0 figure") -> Any:
    """The first chart of a selector, once it is drawn."""
    figure = shown.locator(selector).first
    figure.scroll_into_view_if_needed()
    shown.wait_for_selector(f"{selector}.drawn", timeout=20_000)
    return figure


def ticks(figure: Any) -> list[str]:
    return sorted(figure.locator(".role-axis-label text").all_text_contents())


def until(condition: Callable[[], bool], shown: Any) -> None:
    for _ in range(100):
        if condition():
            return
        shown.wait_for_timeout(50)
    pytest.fail("it never came true")


def test_every_chart_is_drawn_once_it_is_in_view_and_has_a_text(opened: Callable[..., Any]) -> None:
    shown = opened()
    assert shown.locator("figure.drawn").count() < shown.locator("figure").count()
    draw_all(shown)
    plots = shown.locator(".plot")
    assert plots.count() > 20
    for number in range(plots.count()):
        label = plots.nth(number).get_attribute("aria-label")
        assert label
        assert plots.nth(number).locator("svg path").count() > 0
    for button in shown.locator("button").all()[:40]:
        assert button.inner_text().strip()
    assert shown.locator("main :is(img, iframe, object, embed, link, [onerror], [onclick])").count() == 0
    assert "</script><script>" in shown.locator("#runs tbody").inner_text()
    shown.locator("#videos video").scroll_into_view_if_needed()
    until(lambda: (shown.locator("#videos video").get_attribute("src") or "").startswith("blob:"), shown)


def test_the_pointer_reads_values_in_all_charts_of_the_environment(opened: Callable[..., Any]) -> None:
    shown = opened(height=1600)
    figure = drawn(shown, "#env-0 figure:nth-of-type(2)")
    box = figure.locator(".plot").bounding_box()
    shown.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tip = shown.locator("#tip")
    assert tip.is_visible()
    assert "algo=ppo" in tip.inner_text()
    assert "[" in tip.inner_text()
    assert shown.locator("#env-0 .cursor:not([hidden])").count() > 1
    shown.mouse.move(5, 5)
    assert not tip.is_visible()
    assert shown.locator(".cursor:not([hidden])").count() == 0


def test_dragging_zooms_all_charts_of_the_environment_and_no_other(opened: Callable[..., Any]) -> None:
    shown = opened(height=1600)
    figure, other = drawn(shown), shown.locator("#env-0 figure").nth(1)
    shown.wait_for_selector("#env-0 figure:nth-of-type(2).drawn")
    before, beside = ticks(figure), ticks(other)
    box = figure.locator(".plot").bounding_box()
    middle = box["y"] + box["height"] / 2
    shown.mouse.move(box["x"] + 0.4 * box["width"], middle)
    shown.mouse.down()
    shown.mouse.move(box["x"] + 0.5 * box["width"], middle, steps=4)
    assert figure.locator(".brush").is_visible()
    shown.mouse.up()
    until(lambda: ticks(figure) != before and ticks(other) != beside, shown)
    shown.get_by_role("button", name="Show all").first.click()
    until(lambda: ticks(figure) == before and ticks(other) == beside, shown)
    shown.get_by_role("button", name="Zoom in").first.click()
    until(lambda: ticks(figure) != before, shown)
    assert shown.get_by_role("button", name="Show all").nth(1).is_disabled()


def test_the_keyboard_reads_and_zooms(opened: Callable[..., Any]) -> None:
    shown = opened(height=1600)
    figure = drawn(shown)
    before = ticks(figure)
    figure.locator(".plot").focus()
    shown.keyboard.press("ArrowRight")
    shown.keyboard.press("ArrowRight")
    live = shown.locator("#live")
    assert "algo=ppo" in live.inner_text()
    assert figure.locator(".cursor").is_visible()
    shown.keyboard.press("+")
    until(lambda: ticks(figure) != before, shown)
    shown.keyboard.press("0")
    until(lambda: ticks(figure) == before, shown)
    shown.keyboard.press("Tab")
    assert shown.evaluate("document.activeElement.tagName") == "SUMMARY"
    shown.keyboard.press("Enter")
    until(lambda: figure.locator("details tbody tr").count() == 6, shown)
    assert "95% from" in figure.locator("details").inner_text()


def test_every_control_is_reached_by_the_tab_key(opened: Callable[..., Any]) -> None:
    shown = opened()
    reached = set()
    for _ in range(25):
        shown.keyboard.press("Tab")
        reached.add(shown.evaluate("document.activeElement.tagName"))
        assert shown.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    assert {"A", "SELECT", "BUTTON"} <= reached


def test_lines_axis_and_groups_are_chosen(opened: Callable[..., Any]) -> None:
    shown = opened(height=1600)
    figure = drawn(shown)

    def lines() -> int:
        return figure.locator("g.mark-line path").count()

    assert lines() == 2
    shown.get_by_label("each run").first.check()
    until(lambda: lines() == 6, shown)
    shown.get_by_role("button", name="algo=a2c").first.click()
    until(lambda: lines() == 3, shown)
    shown.get_by_label("time").first.check()
    until(lambda: "seconds" in figure.locator("svg").text_content(), shown)
    assert shown.get_by_role("button", name="algo=a2c").first.get_attribute("aria-pressed") == "false"


def test_alerts_are_marked_and_explained(opened: Callable[..., Any]) -> None:
    shown = opened(height=2400)
    shown.wait_for_selector("#env-0 .charts:not(.wide) figure.drawn", timeout=20_000)
    figure = shown.locator("#env-0 figure").filter(has_text="behaviour/ess").first
    until(lambda: figure.locator("[class*=alerts_] path").count() > 0, shown)
    mark = figure.locator("[class*=alerts_] path").last.bounding_box()
    shown.mouse.move(mark["x"] + mark["width"] / 2, mark["y"])
    text = shown.locator("#alerts").inner_text()
    assert "low ESS" in text
    assert "0.11" in text
    assert "▲" in shown.locator("#tip").inner_text()


def test_the_table_of_runs_filters_sorts_and_opens(opened: Callable[..., Any]) -> None:
    shown = opened()
    section = shown.locator("#runs")
    rows = section.locator("tbody tr")
    assert rows.count() == 9
    section.locator("input[type=search]").fill("a2c-")
    assert rows.count() == 3
    assert "3 of 9 runs" in section.inner_text()
    section.locator("input[type=search]").fill("")
    section.get_by_label("Status").select_option("running")
    assert rows.count() == 1
    section.get_by_label("Status").select_option("")
    seed = section.locator("th").filter(has_text="Seed")
    seed.get_by_role("button").click()
    assert seed.get_attribute("aria-sort") == "descending"
    assert rows.first.locator("td.number").first.inner_text() == "2"
    seed.get_by_role("button").press("Enter")
    assert seed.get_attribute("aria-sort") == "ascending"
    assert rows.first.locator("td.number").first.inner_text() == "0"
    section.locator("input[type=search]").fill("ppo-2")
    section.get_by_role("button", name="details of ppo-2").click()
    assert "rlcli reproduce" in section.inner_text()
    section.get_by_role("button", name="Copy").first.click()
    until(lambda: section.get_by_text("Copied", exact=True).count() == 1, shown)


def test_hostile_text_is_text_and_its_command_is_not_given(opened: Callable[..., Any]) -> None:
    shown = opened()
    section = shown.locator("#runs")
    section.locator("input[type=search]").fill("00000001")
    section.get_by_role("button", name="details of").first.click()
    text = section.inner_text()
    assert "It holds characters that control a terminal" in text
    assert f"<script>{MARK}</script>" in text
    assert "\\x1b[2J" in text
    assert "damaged" in shown.locator(".notice").first.inner_text()
    assert "1 run is still training" in shown.locator("main").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_theme_is_the_systems_until_one_is_chosen(opened: Callable[..., Any], scheme: str) -> None:
    shown = opened(color_scheme=scheme)
    paper = {"light": "rgb(255, 255, 255)", "dark": "rgb(18, 22, 27)"}
    other = "dark" if scheme == "light" else "light"

    def ground() -> str:
        return shown.evaluate("getComputedStyle(document.body).backgroundColor")

    assert ground() == paper[scheme]
    shown.locator("#theme").select_option(other)
    assert ground() == paper[other]
    shown.locator("#theme").select_option("auto")
    assert ground() == paper[scheme]


def test_a_phone_has_the_whole_width_and_no_more(opened: Callable[..., Any]) -> None:
    shown = opened(390, 844, reduced_motion="reduce", has_touch=True)
    draw_all(shown)
    assert shown.evaluate("document.documentElement.scrollWidth") <= 390
    assert shown.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"


def test_on_paper_there_are_no_controls_and_the_colours_are_light(opened: Callable[..., Any]) -> None:
    shown = opened(color_scheme="dark")
    shown.emulate_media(media="print")
    assert not shown.locator("nav").is_visible()
    assert not shown.locator("#print").is_visible()
    assert (
        shown.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--ink')").strip()
        == "#000"
    )


def test_an_empty_run_alone_makes_a_page(opened: Callable[..., Any], started: Any, tmp_path: Path) -> None:
    made_run(tmp_path / "a", [], [], status="running", finished=None)
    (tmp_path / "x.html").write_text(page(report(select([str(tmp_path / "a")], tmp_path), None, 0)))
    shown = started.new_page()
    complaints: list[str] = []
    shown.on("pageerror", lambda error: complaints.append(str(error)))
    shown.goto(address(tmp_path / "x.html"))
    shown.wait_for_selector("#provenance")
    assert "No run in this environment has a row yet." in shown.locator("main").inner_text()
    assert complaints == []
    shown.close()


def test_what_is_drawn_is_what_is_in_the_data(opened: Callable[..., Any]) -> None:
    shown = opened()
    block = json.loads(shown.evaluate("document.getElementById('chart-0').textContent"))
    figure = drawn(shown)
    last = block["curves"]["0"]["steps"]["centre"][-1]
    assert f"{last:.4g}" in figure.locator(".plot").get_attribute("aria-label").replace(",", "")
