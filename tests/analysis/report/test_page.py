"""The page as text: data that cannot become markup, the policy, what is filled in once."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path

import pytest

from rlcli.analysis.report import page
from rlcli.analysis.report.content import report
from rlcli.analysis.report.videos import videos
from rlcli.analysis.selection import select
from scripts.report_runs import made_run

TEMPLATES = Path(page.__file__).parent / "templates"
EVIL = "</script><script>alert(1)</script><!-- \u2028 & \" ' {{library}} \x1b[2J"


@pytest.fixture(autouse=True)
def small_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "library", lambda: "var library = '</SCRIPT><!--';")


@pytest.mark.broken_by(
    "JSON as it is",
    "analysis/report/page.py",
    'return text.replace("<", "\\\\u003c").replace(">", "\\\\u003e").replace("&", "\\\\u0026")',
    "return text",
)
def test_data_hold_no_markup_and_mean_the_same() -> None:
    made = page.as_data({"a": EVIL})
    assert not set("<>&\u2028") & set(made)
    assert json.loads(made) == {"a": EVIL}


def made_page(folder: Path) -> str:
    made_run(folder, [], [{"update": 1, "env_steps": 256}], name=EVIL, notes=EVIL, env=EVIL, tags=[EVIL])
    return page.page(report(select([str(folder)], folder.parent), EVIL, 0))


def test_no_text_of_a_run_is_markup(tmp_path: Path) -> None:
    made = made_page(tmp_path / "a")
    plain = re.sub(r"<script>.*?</script>|<style>.*?</style>", "", made, flags=re.DOTALL)
    assert "alert(1)</script>" not in made.replace("&lt;/script&gt;", "")
    assert "<!-- \u2028" not in plain
    assert "\x1b" not in made
    assert made.count("<script") == len(
        re.findall(r'<script>|<script type="application/json" id="[a-z0-9-]+">', made)
    )
    content = re.search(r'id="content">(.*?)</script>', made, re.DOTALL)
    assert content
    assert json.loads(content[1])["runs"][0]["notes"].startswith(
        "</script><script>alert(1)</script><!-- \\u2028"
    )


def test_the_policy_admits_the_scripts_of_the_page_and_nothing_else(tmp_path: Path) -> None:
    made = made_page(tmp_path / "a")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', made)
    assert policy
    rules = dict(rule.strip().split(" ", 1) for rule in policy[1].split(";"))
    scripts = re.findall(r"<script>(.*?)</script>", made, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in scripts]
    assert rules["default-src"] == "'none'"
    assert rules["script-src"].split() == [f"'sha256-{one}'" for one in hashes]
    assert len(scripts) == 3
    assert "unsafe" not in policy[1]
    assert "connect-src" not in rules
    assert not re.findall(r"(?:src|href)=[\"']?(?:https?:|//)", made)


def test_a_library_cannot_end_its_script(tmp_path: Path) -> None:
    assert r"var library = '\x3c/SCRIPT>\x3c!--';" in made_page(tmp_path / "a")


@pytest.mark.parametrize("name", [*page.SCRIPTS, "page.html"])
def test_scripts_make_no_markup_of_text_and_reach_nothing(name: str) -> None:
    source = (TEMPLATES / name).read_text()
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function",
                 "fetch(", "XMLHttpRequest", "importScripts", "javascript:", "onclick="):  # fmt: skip
        assert word not in source


def test_every_template_is_used() -> None:
    assert {path.name for path in TEMPLATES.iterdir()} == {*page.SCRIPTS, "page.html", "page.css"}


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, WCAG 2.1, 1.4.3."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1, 2], ids=["light", "dark", "system dark"])
def test_colours_have_the_contrast_of_wcag_aa(theme: int) -> None:
    css = (TEMPLATES / "page.css").read_text()
    blocks = [re.sub(r"\s+", " ", block) for block in re.findall(r"\{([^{}]*--paper:[^{}]*)\}", css)]
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", blocks[theme]))
    for ground in ("paper", "card", "on"):
        for text in ("ink", "quiet", "link"):
            if (text, ground) != ("quiet", "on"):
                assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    assert contrast(colours["alert"], colours["paper"]) >= 4.5
    assert contrast(colours["ink"], colours["alert-paper"]) >= 4.5
    lines = re.findall(r"#[0-9a-f]{6}", (TEMPLATES / "chart.js").read_text().split("const DASHES")[0])
    assert len(lines) == 8
    for line in (*lines, colours["alert"], colours["bar"], colours["quiet"]):
        assert contrast(line, colours["card"]) >= 3, line
        assert contrast(line, colours["paper"]) >= 3, line


def test_videos_are_embedded_up_to_the_limit_first_ones_first(tmp_path: Path) -> None:
    mp4 = b"\0\0\0\x18ftypisom" + bytes(988)
    for name in ("a", "b"):
        run = made_run(tmp_path / name, [], [{"update": 1, "env_steps": 256}])
        (run / "videos").mkdir()
        for number in (1, 2):
            (run / "videos" / f"{number}.mp4").write_bytes(mp4)
    (tmp_path / "a" / "videos" / "0.mp4").write_bytes(b"<html>")
    (tmp_path / "b" / "videos" / "3.mp4").symlink_to("/etc/hostname")
    runs = select([str(tmp_path / "a"), str(tmp_path / "b")], tmp_path).runs
    found, faults = videos(runs, 2_500)
    assert [(video.run, video.name) for video in found] == [(0, "1.mp4"), (1, "1.mp4")]
    assert base64.b64decode(found[0].content) == mp4
    assert sum("not an MP4" in fault for fault in faults) == 1
    assert sum("limit" in fault for fault in faults) == 3
    assert videos(runs, 0) == ([], [])
