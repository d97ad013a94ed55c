"""Writes docs/theory.md and its plots: each claim, what holds, and the command that shows it."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from rlcli.analysis.trial_plot import picture
from rlcli.theory.table import TRIALS
from rlcli.theory.trial import Trial

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "theory.md"
PICTURES = ROOT / "docs" / "pictures" / "theory"
HEAD = """# Theory on trial

Claims about importance weights and trust regions, each computed exactly on a small case. `rlcli theory NAME`
prints the figures; the tests compare them with slow derivations. Sources are named in `rlcli/theory/NAME.py`.
Made by `make theory`.
"""


def section(name: str, trial: Trial) -> str:
    """The part of the page about one trial."""
    lines = [f"## {name}", "", f"Claim: {trial.claim}", "", f"Found: {trial.finding}", ""]
    lines += [f"- {'holds' if one.holds else 'does not hold'}: {one.text}" for one in trial.statements]
    lines += ["", f"![{name}](pictures/theory/{name}.png)", "", "```sh", f"rlcli theory {name}", "```", ""]
    return "\n".join(lines)


def page(trials: dict[str, Trial]) -> str:
    """The whole page."""
    return "\n".join([HEAD, *(section(name, trial) for name, trial in trials.items())]).rstrip() + "\n"


def _save(drawn: bytes, path: Path) -> None:
    """Writes a PNG with a palette: lines and text need few colours, and a third of the bytes."""
    with Image.open(io.BytesIO(drawn)) as image:
        image.convert("RGB").quantize(dither=Image.Dither.NONE).save(path, optimize=True)


def main() -> None:
    """Runs every trial, draws it, and writes the page."""
    trials = {name: about.trial() for name, about in TRIALS.items()}
    PICTURES.mkdir(parents=True, exist_ok=True)
    for name, trial in trials.items():
        _save(picture(trial, "png"), PICTURES / f"{name}.png")
    PAGE.write_text(page(trials))


if __name__ == "__main__":
    main()
