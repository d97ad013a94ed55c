"""Chromium without a window, for looking at reports: found on the machine, driven by playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")


def missing() -> str | None:
    """Why no browser can be driven here; None where one can."""
    try:
        import playwright  # noqa: F401
    except ImportError:
        return "playwright is not installed: make install EXTRAS=dev"
    return None if executable() else "there is no Chromium: apt-get install chromium"


def executable() -> str | None:
    """The browser's program."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


@contextmanager
def browser() -> Iterator[Any]:
    """A browser, closed at the end."""
    from playwright.sync_api import sync_playwright

    # As root, in containers above all, Chromium starts without its sandbox only.
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=executable(), args=flags)
        try:
            yield started
        finally:
            started.close()


def draw_all(page: Any) -> None:
    """Scrolls through a report until every chart is drawn, then back to its top."""
    page.wait_for_selector("#provenance")
    for _ in range(100):
        height = page.evaluate("document.documentElement.scrollHeight")
        for top in range(0, height, 600):
            page.evaluate(f"window.scrollTo({{top: {top}, behavior: 'instant'}})")
            page.wait_for_timeout(30)
        if page.evaluate("!document.querySelector('figure:has(.plot):not(.drawn)')"):
            break
    page.evaluate("window.scrollTo({top: 0, behavior: 'instant'})")
    page.wait_for_timeout(200)


def address(path: Path) -> str:
    """A file as a browser opens it."""
    return path.resolve().as_uri()
