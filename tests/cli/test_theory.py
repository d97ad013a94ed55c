"""`rlcli theory`: the trials it knows, its output, and the page about them."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlcli.cli.theory import NAMES
from rlcli.theory import region
from rlcli.theory.table import TRIALS
from tests.cli.conftest import Rlcli, on_a_terminal

PAGE = Path(__file__).parents[2] / "docs" / "theory.md"


def test_it_knows_every_trial() -> None:
    assert tuple(TRIALS) == NAMES


def test_without_a_name_it_lists_the_claims(rlcli: Rlcli) -> None:
    ended = rlcli("theory")
    assert ended.code == 0
    assert all(about.CLAIM in ended.out and about.FINDING in ended.out for about in TRIALS.values())
    assert [row["name"] for row in rlcli("theory", "--json").rows()] == list(NAMES)


def test_a_trial_prints_its_figures_and_what_holds(rlcli: Rlcli) -> None:
    ended = rlcli("theory", "drift")
    assert ended.code == 0
    assert "1.30264" in ended.out
    assert "holds: the chain where a mistake is absorbing attains the bound" in ended.out
    assert "does not hold: mistakes of at most ε: the mixture is exact" in ended.out
    (row,) = rlcli("theory", "drift", "--json").rows()
    assert row["as_expected"]
    assert row["tables"][0]["columns"][0] == "t"


@pytest.mark.parametrize("ending", [".png", ".svg", ".pdf"])
def test_a_plot_is_the_same_each_time(rlcli: Rlcli, workplace: Path, ending: str) -> None:
    files = [workplace / f"{name}{ending}" for name in ("a", "b")]
    for file in files:
        ended = rlcli("theory", "gradient", "--out", str(file))
        assert (ended.code, ended.err) == (0, f"Drawn to {file}\n")
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("drfit",), "Did you mean 'drift'?"),
        (("drift", "--out", "plot.gif"), "the name has to end in .png, .svg, .pdf"),
        (("drift", "--out", "/proc/plot.png"), "the folder /proc cannot be written to"),
        (("drift", "--out", "nowhere/plot.png"), "there is no folder nowhere"),
        (("--out", "plot.png"), "rlcli theory drift --out plot.png"),
    ],
)
def test_a_mistake_has_one_message(
    rlcli: Rlcli, workplace: Path, words: tuple[str, ...], message: str
) -> None:
    ended = rlcli("theory", *words)
    assert ended.code == 2
    assert message in ended.err
    assert list(workplace.iterdir()) == []


def test_a_statement_against_theory_is_exit_code_1(rlcli: Rlcli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(region, "gaussian_kl", lambda *_: 1.0)
    trial = region.trial
    monkeypatch.setattr(region, "trial", lambda: trial((10,)))
    ended = rlcli("theory", "region")
    assert ended.code == 1
    assert "does not hold, against theory" in ended.out


def test_the_page_has_every_claim_and_what_holds() -> None:
    page = PAGE.read_text()
    for name, about in TRIALS.items():
        assert f"Claim: {about.CLAIM}\n\nFound: {about.FINDING}\n" in page
        assert (PAGE.parent / "pictures" / "theory" / f"{name}.png").is_file()
        trial = region.trial((10,)) if about is region else about.trial()
        for one in trial.statements:
            assert f"- {'holds' if one.holds else 'does not hold'}: {one.text}\n" in page


@pytest.mark.broken_by(
    "titles wider than the terminal", "cli/theory.py", "paragraph(figures.title)", "result(figures.title)"
)
def test_titles_fit_a_narrow_terminal() -> None:
    shown = on_a_terminal("theory", "variance", columns=40)
    assert max(map(len, shown.splitlines())) <= 40
    assert "weights of π = N(0, s) against μ = N(0, 1), 100,000 samples" in " ".join(shown.split())
