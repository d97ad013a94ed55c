"""Picture of the live panel for the README: docs/pictures/panel.svg, from a real run in a temporary folder.

`make picture` trains PPO on CartPole-v1 with evaluations, and saves the panel from its middle. Fonts are
those of the reader's machine, so that nothing is loaded from elsewhere.
"""

from __future__ import annotations

import io
import re
import tempfile
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI

import rlcli
from rlcli.config.compose import compose
from rlcli.config.schema.run import RunConfig
from rlcli.loggers.interface import Row, RunInfo
from rlcli.loggers.panel import PanelLogger

FILE = Path(__file__).parents[1] / "docs" / "pictures" / "panel.svg"
WIDTH = 96
STEPS = 45_000
"""Env steps after which the picture is taken."""
SHOWN = "eval.every=10000 name=first"
SETTINGS = [*SHOWN.split(), "logger=[jsonl]"]


def panel(config: RunConfig, console: Console) -> PanelLogger:
    """The panel of a run that is about to start."""
    info = RunInfo(
        id="", name=config.name or "", dir=Path(), config=config, config_dict={},
        total_steps=config.updates * config.batch_size,
        algo=config.algo.name, env=config.env.id, seed=config.seed,
    )  # fmt: skip
    return PanelLogger(info, console)


def picture() -> str:
    """The panel in the middle of a run, as SVG."""
    hidden = Console(file=io.StringIO(), force_terminal=True, width=WIDTH)
    shown = panel(compose(SETTINGS).config, hidden)

    def on_row(row: Row) -> object:
        shown.log(row)
        return rlcli.STOP if row["env_steps"] >= STEPS else None

    with tempfile.TemporaryDirectory() as folder:
        rlcli.train([*SETTINGS, f"runs_dir={folder}"], on_row=on_row)
    paper = Console(file=io.StringIO(), record=True, force_terminal=True, width=WIDTH)
    paper.print(shown.render())
    shown.close("interrupted")
    svg = paper.export_svg(title=f"rlcli train {SHOWN}", theme=MONOKAI, unique_id="panel")
    return re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL).replace("Fira Code, ", "")


def main() -> None:
    """Train, and write the file."""
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(picture())
    print(f"{FILE.relative_to(Path.cwd())}: {FILE.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
