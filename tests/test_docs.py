"""The documentation says what the code says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
PICTURES = sorted(path for path in (ROOT / "docs" / "pictures").rglob("*") if path.is_file())
BLOCK = re.compile(r"^```(?:console|sh)\n(.*?)^```", re.DOTALL | re.MULTILINE)
SPAN = re.DOTALL | re.MULTILINE


def test_generated_pages_are_current() -> None:
    script = ROOT / "scripts" / "generate_docs.py"
    done = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_headings_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://)([^)#]*)#([^)]+)\)", page.read_text())
    wrong = [
        f"{target}#{anchor}"
        for target, anchor in links
        if anchor not in headings(page.parent / target if target else page)
    ]
    assert wrong == []


def test_the_readme_links_every_page() -> None:
    """Pages of results are linked where their figures are used."""
    text = (ROOT / "README.md").read_text()
    pages = {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")}
    assert pages - set(re.findall(r"\]\(([^)#]+)", text)) == set()


def test_pictures_are_small() -> None:
    assert [picture.name for picture in PICTURES if picture.stat().st_size >= 100_000] == []
    assert PICTURES


def test_make_targets_of_the_pages_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    code = "".join(
        span for page in PAGES for span in re.findall(r"`[^`]+`|^```.*?^```", page.read_text(), SPAN)
    )
    targets = set(re.findall(r"(?:^|[`&;\s])make ([a-z][a-z-]+)", code))
    assert {"train", "test"} <= targets
    assert {target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)} == set()


def test_verbs_of_the_pages_exist() -> None:
    listed = re.findall(r"^## rlcli ([a-z-]+)$", (ROOT / "docs" / "cli.md").read_text(), re.MULTILINE)
    blocks = [block for page in PAGES for block in BLOCK.findall(page.read_text())]
    used = {verb for block in blocks for verb in re.findall(r"^\$? ?rlcli ([a-z]+)", block, re.MULTILINE)}
    assert "train" in used
    assert used - set(listed) == set()


def test_makefile_needs_a_new_enough_python(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name != "MAKEFLAGS"}
    done = subprocess.run(
        ["make", "-C", str(ROOT), "install", f"VENV={tmp_path / 'venv'}", f"PYTHON={old}"],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode != 0
    assert "3.11" in done.stderr
    assert not (tmp_path / "venv").exists()
