"""Narrow terminals: tables and help texts break between words, and keep what matters most."""

from __future__ import annotations

import io
import re
import shlex
from pathlib import Path

import pytest
import typer.main
from rich.console import Console

from rlcli.cli.app import _VERBS, app
from rlcli.cli.help import fitted
from rlcli.sweeps.progress import Panel
from rlcli.sweeps.sweep import Job
from tests.cli.conftest import on_a_terminal
from tests.cli.test_watch import Make, make, model, sweep_of, write

__all__ = ["make", "model"]

NAMES = ["algo=ppo,learning_rate=0.0003", "algo=trpo,seed=1"]


@pytest.fixture
def grid(make: Make, workplace: Path) -> Path:
    for name in NAMES:
        write(
            make(f"grid/{name}", sweep="grid", eval_return_mean=123.45),
            3,
            behaviour__kl_mu_pi=1.5e-8,
            eval__return_mean=123.45,
        )
    sweep_of(workplace / "runs" / "grid", NAMES)
    return workplace / "runs" / "grid"


@pytest.mark.parametrize("columns", [40, 60, 80])
@pytest.mark.parametrize("words", ["show grid", "sweep best grid", "list algos"])
def test_tables_break_no_word(words: str, columns: int, grid: Path) -> None:
    """Every word of the table is one of the same table at 300 columns, where nothing is broken."""
    whole = set(on_a_terminal(*words.split(), columns=300).replace(",", " ").split())
    shown = on_a_terminal(*words.split(), columns=columns)
    table = [
        line for line in shown.splitlines() if "Train it again" not in line and "interquartile" not in line
    ]
    assert max(map(len, table)) <= columns
    assert set(shown.replace(",", " ").split()) <= whole


@pytest.mark.broken_by(
    "a mark stands behind a heading of the same word",
    "cli/output.py",
    'heading in ("", cell)',
    'heading == ""',
)
def test_narrow_lists_show_marks_once_and_no_empty_lines() -> None:
    lines = on_a_terminal("list", "envs", columns=50).splitlines()
    assert "  array" in lines
    assert not any("array array" in line for line in lines)
    assert all(line.strip() for line in lines)


@pytest.mark.parametrize(
    ("columns", "figures"), [(72, ["KL"]), (80, ["KL", "ESS"]), (92, ["KL", "ESS", "clip"])]
)
def test_a_sweep_keeps_kl_longest(columns: int, figures: list[str], grid: Path) -> None:
    heading = on_a_terminal("show", "grid", columns=columns).splitlines()[0].split()
    assert heading[:5] == ["job", "status", "steps", "return", "best"]
    assert heading[5:8] == figures


def test_where_no_table_fits_each_row_has_lines_of_its_own(grid: Path) -> None:
    lines = on_a_terminal("show", "grid", columns=40).splitlines()
    assert lines[0] == NAMES[0]
    text = " ".join(" ".join(lines).split())
    assert f"{NAMES[1]} status finished, steps" in text
    assert "return 123.5" in text
    assert "KL 1.5e-08, ESS 0.900, clip 0.100" in text
    assert not any(line.rstrip().endswith(("KL", "ESS", "return")) for line in lines), (
        "a figure stays with its name"
    )


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_the_last_line_of_a_live_sweep_is_whole(columns: int) -> None:
    jobs = [Job(f"seed={seed}", ()) for seed in range(40)]
    console = Console(width=columns, height=24, file=io.StringIO(), force_terminal=True, color_system=None)
    panel = Panel(jobs, {job.name: 100_000 for job in jobs}, console, clock=lambda: 0.0)
    for job in jobs:
        panel.row(job.name, {"env_steps": 50_000, "train/return_100": 12.5})
    shown = Console(width=columns, height=24, file=io.StringIO(), force_terminal=True, color_system=None)
    shown.print(panel.render())
    lines = shown.file.getvalue().splitlines()  # type: ignore[attr-defined]
    panel.close(interrupted=False)
    assert "50% of 4,000,000 steps, - steps/s, - left, 0 of 40 finished, median return 12.50" in " ".join(
        " ".join(lines).split()
    )
    assert max(map(len, lines)) <= columns
    assert len(lines) < 24


def helped(verb: str, columns: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The help text of a verb on a terminal of that width."""
    monkeypatch.setenv("COLUMNS", str(columns))
    command, context = typer.main.get_command(app), None
    for word in ("rlcli", *verb.split()):
        command = command.commands[word] if word != "rlcli" else command  # type: ignore[attr-defined]
        context = command.context_class(command, info_name=word, parent=context)
    assert context is not None
    return [str(line) for line in command.get_help(context).splitlines()]


@pytest.mark.parametrize("columns", [40, 60, 80])
@pytest.mark.parametrize("verb", ["", *_VERBS, "sweep best", "sweep status"])
def test_help_fits_and_its_examples_stay_commands(
    verb: str, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = helped(verb, columns, monkeypatch)
    # Below 52 columns the names of options leave their descriptions no room: those may be wider.
    options = next(place for place, line in enumerate(shown) if line in ("Options:", "Arguments:"))
    assert max(map(len, shown[: options if columns < 52 else None])) <= columns
    assert commands(shown) == commands(helped(verb, 300, monkeypatch))
    assert commands(shown)


def commands(lines: list[str]) -> list[list[str]]:
    """The commands of the examples, as a shell reads them; comments beside or beneath them left out."""
    text = "\n".join(lines)
    found = re.search(r"(?s)Examples:\n(.*?)\n\n", text + "\n\n")
    joined = re.sub(r" \\\n\s+", " ", found.group(1) if found else "")
    return [
        shlex.split(re.split(r"\s{3,}", line.strip())[0])
        for line in joined.splitlines()
        if line.strip().startswith("rlcli")
    ]


def test_an_example_is_broken_outside_of_quotes() -> None:
    example = "  rlcli train 'a b c d e f' \"g h i j k\" x=1"
    text = f"Title\n\n\b\nExamples:\n{example}\n\nafter that a very long line indeed"
    assert fitted(text, 24).splitlines()[4:8] == [
        "  rlcli train \\", "      'a b c d e f' \\", '      "g h i j k" x=1', "",
    ]  # fmt: skip
    assert fitted(text, 24).endswith("after that a very long line indeed")
