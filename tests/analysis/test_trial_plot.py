"""Plots of trials of the theory: panels in rows, and ticks at the figures."""

from __future__ import annotations

import struct

import pytest

from rlcli.analysis.trial_plot import picture
from rlcli.theory.trial import Picture, Table, Trial

pytest.importorskip("matplotlib")


def trial(panels: int) -> Trial:
    """A trial with that many panels, at 0.0125 and 0.3 of a logarithmic axis."""
    table = Table("a title", ("x", "y"), ((0.0125, 1.0), (0.3, 2.0)), Picture("x", ("y",), log_x=True))
    return Trial("name", "claim", "finding", (table,) * panels, ())


@pytest.mark.broken_by(
    "all panels in one row", "analysis/trial_plot.py", "min(len(drawn), COLUMNS)", "len(drawn)"
)
def test_panels_are_in_rows_of_three() -> None:
    sizes = [struct.unpack(">II", picture(trial(panels), "png")[16:24]) for panels in (1, 3, 5)]
    assert sizes == [(408, 348), (1224, 348), (1224, 696)]


@pytest.mark.broken_by(
    "ticks at powers of ten",
    "analysis/trial_plot.py",
    'axes.set_xticks(x, [f"{position:g}" for position in x])',
    "pass",
)
def test_a_logarithmic_axis_has_its_ticks_at_the_figures() -> None:
    drawn = picture(trial(1), "svg").decode()
    assert all(f"<!-- {figure} -->" in drawn for figure in ("0.0125", "0.3"))
