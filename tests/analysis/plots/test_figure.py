"""Pictures of plots: equal bytes for equal runs, legible sizes, text that is never a formula."""

from __future__ import annotations

import re
import struct
from xml.etree import ElementTree as xml

import pytest

from rlcli.analysis.plots.curves import curves
from rlcli.analysis.plots.metrics import EVALUATED, TRAINED
from rlcli.analysis.plots.plot import Plot
from rlcli.analysis.plots.slices import slices
from tests.analysis.plots.made import made
from tests.analysis.plots.test_plots import RISING, grid, seeds

pytest.importorskip("matplotlib")

from rlcli.analysis.plots import figure
from rlcli.analysis.plots.figure import FONT, SETTINGS, SMALL, picture


def three() -> Plot:
    runs = [run for algo in ("ppo", "trpo", "a2c") for run in seeds(algo, 3, algo=algo)]
    return curves(runs, [TRAINED], "steps", None)


@pytest.mark.parametrize("form", ["svg", "png", "pdf"])
def test_equal_runs_give_equal_bytes(form: str) -> None:
    first = picture(three(), form)
    assert first == picture(three(), form)
    assert len(first) < 120_000
    assert not re.search(rb"20\d\d-\d\d-\d\d|D:20\d\d", first), "no date"


@pytest.mark.parametrize(
    ("plot", "inches"), [(three(), 3.3), (slices(grid(), [EVALUATED], None), 6.9)], ids=["one", "several"]
)
def test_a_picture_has_the_width_of_a_paper_and_no_small_font(plot: Plot, inches: float) -> None:
    width, _ = struct.unpack(">II", picture(plot, "png")[16:24])
    assert width == pytest.approx(inches * figure.DPI, abs=1)
    sizes = [
        value for name, value in SETTINGS.items() if name.endswith(("labelsize", "titlesize", "fontsize"))
    ]
    assert len(sizes) == 5
    assert min(FONT, SMALL, *sizes) >= 7


def texts(plot: Plot) -> list[tuple[str, float, float]]:
    """Texts of the picture with their positions in points, from the SVG with its texts kept."""
    before = dict(SETTINGS)
    SETTINGS["svg.fonttype"] = "none"
    try:
        root = xml.fromstring(picture(plot, "svg"))
    finally:
        SETTINGS.clear()
        SETTINGS.update(before)
    found = []
    for node in root.iter("{http://www.w3.org/2000/svg}text"):
        place = re.search(r"translate\(([\d.-]+) ([\d.-]+)\)", node.get("transform", ""))
        x, y = place.groups() if place else (node.get("x", "0"), node.get("y", "0"))
        found.append(("".join(node.itertext()), float(x), float(y)))
    return found


def test_labels_at_the_ends_of_equal_lines_do_not_overlap() -> None:
    found = {text: (x, y) for text, x, y in texts(three())}
    heights = sorted(found[name][1] for name in ("ppo", "trpo", "a2c"))
    assert len({found[name][0] for name in ("ppo", "trpo", "a2c")}) == 1
    assert heights[1] - heights[0] >= SMALL
    assert heights[2] - heights[1] >= SMALL


def test_long_labels_go_into_a_legend_beneath() -> None:
    runs = [made(f"r{place}", {TRAINED: RISING}, algo__learning_rate=10.0**-place, algo__clip=place / 7)
            for place in range(1, 4)]  # fmt: skip
    found = texts(curves(runs, [TRAINED], "steps", ["learning_rate", "clip"]))
    below = next(y for text, _, y in found if text == "env steps")
    labels = [(text, y) for text, _, y in found if text.startswith("learning_rate=")]
    assert len(labels) == 3
    assert all(y > below for _, y in labels)
    assert len({y for _, y in labels}) == 3


@pytest.mark.broken_by(
    "text of runs read as formulas",
    "analysis/plots/figure.py",
    '"text.parse_math": False',
    '"text.parse_math": True',
)
def test_text_of_runs_is_no_formula_and_no_markup() -> None:
    evil = "$\\frac{1}{$ <b>&\x1b[2J"
    runs = [made(str(seed), {TRAINED: RISING}, env=evil, algo=algo, seed=seed)
            for algo in ("$x^2$", "_hidden") for seed in range(2)]  # fmt: skip
    found = [text for text, _, _ in texts(curves(runs, [TRAINED], "steps", None))]
    assert "$\\frac{1}{$ <b>&\\x1b[2J" in found
    assert "$x^2$" in found
    assert any(text.strip() == "_hidden" for text in found)


def test_settings_of_matplotlib_are_as_before_and_have_no_effect() -> None:
    import matplotlib

    expected = picture(three(), "png")
    with matplotlib.rc_context({"font.size": 30.0, "axes.facecolor": "red", "text.usetex": True}):
        assert picture(three(), "png") == expected
        assert matplotlib.rcParams["font.size"] == 30.0
