"""Pictures of a report in a browser, to look at: phone and desktop, light and dark.

`make screenshots` trains PPO, TRPO, MDPO and A2C on CartPole-v1 with several seeds and a learning rate of PPO
too many, in a temporary folder, writes their report, and saves screenshots/ of its whole length;
`--report FILE` takes a report that exists. `make report-picture` saves the part of it that the README shows.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

from browser import address, browser, draw_all, missing

ROOT = Path(__file__).parents[1]
RLCLI = str(Path(sys.executable).with_name("rlcli"))
FOLDER = ROOT / "screenshots"
PICTURE = ROOT / "docs" / "pictures" / "report.webp"
WIDTHS = (390, 1440)
SCHEMES = ("light", "dark")
LONGEST = 2_600
"""Height of one picture in pixels; a long page is several."""
LENGTH = "total_steps=50000 eval.every=5000"
SWEEPS = (
    f"-m algo=ppo,trpo,mdpo,a2c seed=0,1,2,3 {LENGTH} name=algorithms",
    f"-m algo.learning_rate=0.003,0.03 algo.clip=0.1,0.3 seed=0,1 {LENGTH} name=rates",
)
SECTION = "#env-0"
WIDE = 1_400
COLOURS = 128
"""Colours and width of the README's picture, which keep it small."""
ABOVE = 28
"""Pixels above the heading, so that it does not stand on the picture's edge."""
LARGEST = 100_000
"""Bytes of the README's picture."""


def trained(folder: Path, sweeps: tuple[str, ...]) -> Path:
    """A report of sweeps trained in a folder."""
    for words in sweeps:
        subprocess.run([RLCLI, "train", *words.split(), "-q"], cwd=folder, check=True, capture_output=True)
    names = [words.rpartition("name=")[2] for words in sweeps]
    subprocess.run([RLCLI, "report", *names, "-q"], cwd=folder, check=True)
    return folder / "report.html"


def screenshots(report: Path, folder: Path) -> None:
    """Saves the whole page at each width and in each scheme."""
    folder.mkdir(exist_ok=True)
    with browser() as started:
        for width in WIDTHS:
            for scheme in SCHEMES:
                page = opened(started, report, width, 900, scheme)
                height = page.evaluate("document.documentElement.scrollHeight")
                for part, top in enumerate(range(0, height, LONGEST)):
                    file = folder / f"{width}-{scheme}-{part}.png"
                    clip = {"x": 0, "y": top, "width": width, "height": min(LONGEST, height - top)}
                    page.screenshot(path=file, full_page=True, clip=clip)
                    print(file.relative_to(Path.cwd()))
                page.close()


def opened(started: Any, report: Path, width: int, height: int, scheme: str) -> Any:
    """The report in a window of that size, every chart drawn."""
    page = started.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    page.goto(address(report))
    draw_all(page)
    return page


def picture(report: Path, file: Path) -> None:
    """Saves the learning curves and the health of a report."""
    file.parent.mkdir(exist_ok=True)
    with browser() as started:
        page = opened(started, report, WIDE, 1000, "light")
        section = page.query_selector(SECTION).bounding_box()
        last = page.query_selector_all(f"{SECTION} .charts:not(.wide) figure")[5].bounding_box()
        bottom = last["y"] + last["height"] + 12
        top = section["y"] - ABOVE
        clip = {"x": 0, "y": top, "width": WIDE, "height": bottom - top}
        shot = page.screenshot(full_page=True, clip=clip)
    few = Image.open(io.BytesIO(shot)).convert("RGB").quantize(COLOURS).convert("RGB")
    few.save(file, lossless=True, quality=100, method=6)
    size = file.stat().st_size
    print(f"{file.relative_to(Path.cwd())}: {size / 1000:.0f} kB")
    if size > LARGEST:
        raise SystemExit(f"The picture is larger than {LARGEST / 1000:.0f} kB.")


def main() -> None:
    """Train where no report is given, and take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--report", type=Path, help="a report that exists")
    parser.add_argument("--picture", action="store_true", help="the README's picture instead")
    chosen = parser.parse_args()
    reason = missing()
    if reason:
        raise SystemExit(reason)
    with tempfile.TemporaryDirectory() as folder:
        sweeps = SWEEPS[:1] if chosen.picture else SWEEPS
        report = chosen.report or trained(Path(folder), sweeps)
        if chosen.picture:
            picture(report, PICTURE)
        else:
            screenshots(report, FOLDER)


if __name__ == "__main__":
    main()
