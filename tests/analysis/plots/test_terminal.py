"""Plots as text: within the width, readable without colour, in any encoding."""

from __future__ import annotations

import numpy as np
import pytest

from rlcli.analysis.plots.braille import Canvas
from rlcli.analysis.plots.curves import curves
from rlcli.analysis.plots.metrics import EVALUATED, TRAINED
from rlcli.analysis.plots.slices import slices
from rlcli.analysis.plots.terminal import lines
from tests.analysis.plots.made import made
from tests.analysis.plots.test_plots import grid, seeds


def text(plot: object, width: int, **how: bool) -> list[str]:
    return ["".join(part for part, _ in line) for line in lines(plot, width, **how)]  # type: ignore[arg-type]


def two() -> object:
    """A line that rises from 0 to 100, and one that stays at 50."""
    rising = [made(f"u{seed}", {TRAINED: np.linspace(0, 100, 40).tolist()}, seed=seed) for seed in range(2)]
    flat = [made("f", {TRAINED: [50.0] * 40}, algo="trpo")]
    return curves([*rising, *flat], [TRAINED], "steps", None)


def test_a_plot_is_read_without_colour() -> None:
    shown = text(two(), 60)
    assert shown[0] == "train/return_100 (reward), CartPole-v1"
    body = shown[1:15]
    ends = {line[-1]: row for row, line in enumerate(body) if len(line) == 60}
    assert ends["A"] == 0, "A ends at the top"
    assert ends["B"] in (6, 7), "B ends in the middle"
    letters = [[(row, column) for row, line in enumerate(body) for column, one in enumerate(line[:57])
                if one == letter] for letter in "AB"]  # fmt: skip
    assert [len(places) for places in letters] == [3, 3]
    rows = [row for row, _ in sorted(letters[0], key=lambda place: place[1])]
    assert rows == sorted(rows, reverse=True), "A rises"
    assert len({row for row, _ in letters[1]}) == 1, "B does not"
    assert "A ppo  100.0 [100.0, 100.0] 2 runs" in shown
    assert "B trpo  50.00 1 run" in shown
    assert "env steps" in shown[16]


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    many = [made(f"r{place}", {TRAINED: [0.0, place]}, algo__clip=0.01234567 * place, algo__gamma=0.9 * place)
            for place in range(12)]  # fmt: skip
    plots = [two(), slices(grid(), [EVALUATED], None), curves(many, [TRAINED], "steps", None),
             curves(seeds("x", 3), [TRAINED, "loss/policy"], "updates", None)]  # fmt: skip
    for plot in plots:
        shown = text(plot, width)
        assert max(map(len, shown)) <= min(width, 100)
        assert all(line == line.rstrip() or line.startswith(" ") for line in shown)


def test_where_braille_is_missing_letters_and_points_remain() -> None:
    for plot in (two(), slices(grid(), [EVALUATED], None)):
        shown = "\n".join(text(plot, 60, braille=False))
        assert shown.isascii()
        assert ".A" in shown or "." in shown


def test_text_of_runs_is_harmless() -> None:
    evil = "x\x1b[2J\n$\\frac{1}{2}$"
    plot = curves([made("e", {TRAINED: [1.0, 2.0]}, env=evil)], [TRAINED], "steps", None)
    shown = "\n".join(text(plot, 60))
    assert "\x1b" not in shown
    assert r"x\x1b[2J $" in shown


def test_a_line_on_the_canvas_has_no_gaps() -> None:
    canvas = Canvas(20, 5)
    canvas.line(np.array([0.0, 0.5, 1.0]), np.array([0.0, 1.0, 0.0]), 0)
    assert all(any(canvas.cells[row][column].dots for row in range(5)) for column in range(20))
    drawn = [bin(canvas.cells[row][column].dots).count("1") for row in range(5) for column in range(20)]
    assert sum(drawn) >= 40, "one dot per column at least"
    assert canvas.cells[4][0].dots
    assert canvas.cells[0][9].dots | canvas.cells[0][10].dots
