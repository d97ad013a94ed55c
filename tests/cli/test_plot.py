"""`rlcli plot`: text on a terminal and in a pipe, pictures, data, mistakes."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from matplotlib.axes import Axes
from matplotlib.transforms import Bbox

from tests.cli.conftest import Rlcli, on_a_terminal
from tests.cli.loaded import loaded_by
from tests.cli.test_watch import Make, make, model, sweep_of, write

__all__ = ["make", "model"]


@pytest.fixture
def runs(make: Make, workplace: Path) -> Path:
    """A sweep of two clip ranges, two seeds each."""
    names = []
    for clip in (0.1, 0.2):
        for seed in range(2):
            name = f"clip={clip},seed={seed}"
            names.append(name)
            folder = make(f"grid/{name}", sweep="grid", seed=seed, overrides=[f"algo.clip={clip}"])
            config = folder / "config.yaml"
            text = re.sub(r"(?m)^  clip: .*", f"  clip: {clip}", config.read_text())
            config.write_text(re.sub(r"(?m)^seed: .*", f"seed: {seed}", text))
            manifest = json.loads((folder / "manifest.json").read_text()) | {"config_sha256": None}
            (folder / "manifest.json").write_text(json.dumps(manifest))
            for update in range(1, 9):
                write(folder, update, returned=update * clip * 100 + seed, eval__return_mean=update * clip)
    sweep_of(workplace / "runs" / "grid", names)
    return workplace / "runs"


def test_text_has_a_line_per_group(runs: Path, rlcli: Rlcli) -> None:
    ended = rlcli("plot", "grid", "--metric", "train/return_100")
    assert (ended.code, ended.err) == (0, "")
    assert "A clip=0.1  80.50 [80.00, 81.00] 2 runs" in ended.out
    assert "B clip=0.2  160.5 [160.0, 161.0] 2 runs" in ended.out
    assert "\x1b" not in ended.out
    together = rlcli("plot", "grid", "--metric", "return_100", "--by", "algo").out
    assert "ppo" not in together.splitlines()[1]
    assert "4 runs" in together
    seconds = rlcli("plot", "grid", "--x", "seconds").out
    assert "eval/return_mean (reward), CartPole-v1" in seconds
    assert "seconds of training" in seconds


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_it_fits_the_terminal_with_and_without_colour(
    columns: int, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = on_a_terminal("plot", "grid", columns=columns).splitlines()
    assert max(map(len, shown)) <= columns
    assert any("B clip=0.2" in line for line in shown)
    monkeypatch.setenv("NO_COLOR", "1")
    assert on_a_terminal("plot", "grid", columns=columns).splitlines() == shown


def test_a_terminal_has_colours_unless_they_are_refused(runs: Path) -> None:
    script = (
        "import sys; sys.argv = ['rlcli', 'plot', 'grid']; from rlcli.streams import Writer; "
        "Writer.isatty = lambda self: True; from rlcli.cli.main import main; main()"
    )
    coloured, plain = (
        subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True,
            env={name: value for name, value in os.environ.items() if name != "NO_COLOR"}
            | {"TERM": "xterm-256color", "COLUMNS": "60"} | more,
        ).stdout
        for more in ({}, {"NO_COLOR": "1"})
    )  # fmt: skip
    assert "\x1b[34m" in coloured
    assert not re.search(r"\x1b\[3\d", plain)


@pytest.mark.parametrize("form", ["png", "svg", "pdf"])
def test_pictures_are_saved_whole_and_the_same_twice(form: str, runs: Path, rlcli: Rlcli) -> None:
    ended = rlcli("plot", "grid", "--health", "--out", f"a.{form}")
    assert (ended.code, ended.out) == (0, f"Saved to a.{form}\n")
    rlcli("plot", "grid", "--health", "--out", f"b.{form.upper()}")
    assert Path(f"a.{form}").read_bytes() == Path(f"b.{form.upper()}").read_bytes()
    assert sorted(path.name for path in Path().iterdir() if path.is_file()) == [
        f"a.{form}", f"b.{form.upper()}",
    ]  # fmt: skip


@pytest.mark.broken_by(
    "the layout's last bits are in the file",
    "analysis/plots/figure.py",
    "(round(bound, PLACES) for bound in bounds)",
    "bounds",
)
def test_rounding_of_the_layout_is_not_in_the_file(
    runs: Path, rlcli: Rlcli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the layout's solver gives hangs on addresses in memory, in its last bits."""
    rlcli("plot", "grid", "--health", "--out", "a.svg")
    plain = Axes._set_position

    def moved(self: Axes, place: Any, which: str = "both") -> None:
        solved = isinstance(place, Bbox) and which == "both"
        plain(self, Bbox(place.get_points() * (1 + 1e-15)) if solved else place, which)

    monkeypatch.setattr(Axes, "_set_position", moved)
    rlcli("plot", "grid", "--health", "--out", "b.svg")
    assert Path("a.svg").read_bytes() == Path("b.svg").read_bytes()


def test_without_matplotlib_the_command_that_installs_it_is_named(
    runs: Path, rlcli: Rlcli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    ended = rlcli("plot", "grid", "--out", "a.png")
    assert ended.code == 2
    assert "--out needs matplotlib" in ended.err
    assert "plots" in ended.err.splitlines()[-1]
    assert not Path("a.png").exists()


def test_slices_have_importance(runs: Path, rlcli: Rlcli) -> None:
    shown = rlcli("plot", "grid", "--slices").out
    assert shown.splitlines()[0] == "eval/return_mean, clip"
    assert "4 runs" in shown
    assert rlcli("plot", "grid", "--slices", "--out", "s.svg").code == 0


def test_json_is_the_data(runs: Path, rlcli: Rlcli) -> None:
    first, second = rlcli("plot", "grid", "--metric", "return_100", "--json").rows()
    assert (first["group"], first["runs"], first["where"]) == ("clip=0.1", 2, "CartPole-v1")
    assert first["positions"] == [100.0 * update for update in range(1, 9)]
    assert first["centre"][-1] == 80.5
    assert (second["low"][-1], second["high"][-1]) == (160.0, 161.0)
    *_, saved = rlcli("plot", "grid", "--json", "--out", "p.png").rows()
    assert saved == {"saved": "p.png"}
    rows = rlcli("plot", "grid", "--slices", "--json").rows()
    assert rows[0]["settings"] == [0.1, 0.1, 0.2, 0.2]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--metric", "train/retrun_100"), "Did you mean 'train/return_100'"),
        (("--by", "clipp"), "Unknown key 'clipp'"),
        (("--out", "a.jpg"), "has to end in .png, .svg, .pdf"),
        (("--out", "a.pgn"), "Did you mean a.png?"),
        (("--out", "none/a.png"), "there is no folder none"),
        (("--slices", "--health"), "choose one"),
        (("--slices", "--metric", "ess", "--metric", "return_100"), "name one metric"),
        (("--x", "step"), "'steps'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_mistakes_are_named_and_leave_nothing(
    words: tuple[str, ...], said: str, runs: Path, rlcli: Rlcli
) -> None:
    before = sorted(Path().rglob("*"))
    ended = rlcli("plot", "grid", *words)
    assert ended.code == 2
    assert said in ended.err
    assert sorted(Path().rglob("*")) == before


def test_a_run_that_cannot_be_read_is_left_out_and_named(runs: Path, rlcli: Rlcli) -> None:
    damaged = runs / "grid" / "clip=0.1,seed=0"
    (damaged / "metrics.jsonl").unlink()
    (damaged / "metrics.jsonl").symlink_to("/dev/zero")
    with (runs / "grid" / "clip=0.2,seed=0" / "metrics.jsonl").open("a") as file:
        file.write("{broken\n")
    ended = rlcli("plot", "grid", "--metric", "return_100")
    assert ended.code == 0
    assert "A run is left out: runs/grid/clip=0.1,seed=0/metrics.jsonl" in ended.err
    assert "clip=0.2,seed=0/metrics.jsonl: 1 damaged line left out" in ended.err
    assert "A clip=0.1  81.00 1 run" in ended.out


def test_text_needs_neither_torch_nor_matplotlib(runs: Path) -> None:
    assert loaded_by("plot", "grid") <= {"numpy", "scipy"}
    assert loaded_by("plot", "grid", "--out", "a.jpg", code=2) == set()
