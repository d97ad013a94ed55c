from __future__ import annotations

import io
import re
import sys

import pytest
from rich.cells import cell_len
from rich.console import Console

from rlcli.loggers.console import console_logger
from rlcli.loggers.lines import COLUMNS, GAP, LineLogger, fitting
from rlcli.loggers.panel import PanelLogger


def terminal(width: int, no_color: bool = False) -> Console:
    return Console(
        file=io.StringIO(),
        width=width,
        height=40,
        force_terminal=True,
        color_system="standard",
        no_color=no_color,
    )


def plain(panel: PanelLogger, width: int, status: str = "") -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(panel.render(status))
    return console.file.getvalue().splitlines()


@pytest.fixture
def make_panel(info, clock):
    made: list[PanelLogger] = []

    def make(width: int = 100, **fields) -> PanelLogger:
        made.append(PanelLogger(info, terminal(width, **fields), clock))
        return made[-1]

    yield make
    for panel in made:
        panel.close("finished")


# Lines


def test_lines_are_aligned_ascii_and_named(info, make_row, clock):
    stream = io.StringIO()
    logger = LineLogger(info, stream, clock)
    for update in range(1, 101):
        clock.now += 0.1
        logger.log(make_row(update))
    printed = stream.getvalue().splitlines()
    assert " ".join(printed[0].split()) == "steps done steps/s left return eval KL ESS clip"
    assert " ".join(printed[-1].split()) == "102,400 100% 10,240 0 s 120.5 - 0.0081 0.985 0.081"
    assert len({len(line) for line in printed}) == 1
    assert len(printed[0]) <= 80
    assert stream.getvalue().isascii()


def test_a_line_is_due_every_tenth(info, make_row, clock):
    stream = io.StringIO()
    logger = LineLogger(info, stream, clock)
    for update in range(1, 101):
        logger.log(make_row(update))
    steps = [line.split()[0] for line in stream.getvalue().splitlines()[1:]]
    assert steps == ["1,024", *(f"{10_240 * tenth:,}" for tenth in range(1, 11))]


def test_a_line_is_due_every_few_seconds(info, make_row, clock):
    stream = io.StringIO()
    logger = LineLogger(info, stream, clock)
    for update in range(1, 9):
        logger.log(make_row(update))
        clock.now += 2.5
    assert [line.split()[0] for line in stream.getvalue().splitlines()[1:]] == [
        "1,024",
        "3,072",
        "5,120",
        "7,168",
    ]


def test_an_evaluation_always_has_its_line(info, make_row, clock):
    stream = io.StringIO()
    logger = LineLogger(info, stream, clock)
    for update in range(1, 6):
        logger.log(make_row(update, **({"eval__return_mean": 432.1} if update == 4 else {})))
    last = stream.getvalue().splitlines()[-1].split()
    assert last[0] == "4,096"
    assert "432.1" in last


def test_the_header_comes_again(info, make_row, clock):
    stream = io.StringIO()
    logger = LineLogger(info, stream, clock)
    for update in range(1, 42):
        clock.now += 60.0
        logger.log(make_row(update))
    assert [at for at, line in enumerate(stream.getvalue().splitlines()) if "steps/s" in line] == [0, 21, 42]


@pytest.mark.parametrize("width", [100, 78, 60, 40, 10])
def test_columns_fit_a_narrow_terminal(width):
    columns = fitting(width)
    assert len(GAP.join("x" * column.width for column in columns)) <= width
    assert [column.title for column in columns[:1]] == ["steps"]
    assert (columns == COLUMNS) == (width >= 78)


def test_a_message_is_a_line(info, clock):
    stream = io.StringIO()
    LineLogger(info, stream, clock).message("checkpoint saved")
    assert stream.getvalue() == "checkpoint saved\n"


# The panel


@pytest.mark.parametrize("width", [100, 80, 60, 40])
def test_the_panel_shows_what_matters_at_every_width(make_panel, make_row, width):
    panel = make_panel(width)
    for update in range(1, 63):
        panel.log(make_row(update, eval__return_mean=480.0, eval__return_std=31.2, eval__episodes=10))
    panel._draw()
    lines = plain(panel, width)
    assert {cell_len(line) for line in lines} == {width}
    text = "\n".join(lines)
    for shown in (
        "ppo on CartPole-v1", "62%", "63,488 / 102,400", "82.50", "480.0", "0.0081", "0.985", "0.081",
        "KL(μ‖π)",
    ):  # fmt: skip
        assert shown in text


def test_notes_say_what_figures_mean_where_there_is_room(make_panel, make_row):
    panel = make_panel(80)
    panel.log(make_row(1))
    text = "\n".join(plain(panel, 80))
    for note in (
        "40% of the budget",
        "worth 1,009 of 1,024 samples",
        "of ratios outside 1 ± 0.2 ",
        "100 episodes ",
    ):
        assert note in text
    assert "budget" not in "\n".join(plain(make_panel(60), 60))


def test_figures_that_are_absent_have_no_line(make_panel):
    panel = make_panel()
    panel.log({"update": 1, "env_steps": 1024, "behaviour/ess": 0.9})
    text = "\n".join(plain(panel, 100))
    assert "ESS" in text
    for label in ("Return", "Evaluation", "Clip fraction", "Entropy"):
        assert label not in text


@pytest.mark.parametrize(
    ("figures", "marked"),
    [
        ({"behaviour__ess": 0.49}, "ESS"),
        ({"behaviour__clip_fraction": 0.51}, "Clip fraction"),
        ({"update__budget_used": 1.6}, "KL(μ‖π)"),
        ({"behaviour__ess": 0.5, "behaviour__clip_fraction": 0.5, "update__budget_used": 1.5}, None),
    ],
)
def test_what_is_out_of_hand_is_marked_without_colour_too(make_panel, make_row, figures, marked):
    panel = make_panel()
    panel.log(make_row(1, **figures))
    found = [line.removeprefix("│ ").split("  ")[0] for line in plain(panel, 100) if " ! " in line]
    assert found == ([marked] if marked else [])


def test_no_color_is_respected(make_panel, make_row):
    def codes(panel: PanelLogger) -> set[str]:
        panel.log(make_row(1, behaviour__ess=0.1))
        return set(re.findall(r"\x1b\[([0-9;]*)m", panel._console.file.getvalue()))

    coloured = re.compile(r"(^|;)[349]\d(;|$)")
    assert any(coloured.search(code) for code in codes(make_panel()))
    assert not any(coloured.search(code) for code in codes(make_panel(no_color=True)))


def test_it_is_drawn_at_most_four_times_a_second(make_panel, make_row, clock):
    panel = make_panel()
    drawn = 0
    for update in range(1, 101):
        before = len(panel._console.file.getvalue())
        panel.log(make_row(update))
        drawn += len(panel._console.file.getvalue()) > before
        clock.now += 1 / 32
    assert 12 <= drawn <= 14


def test_a_slow_terminal_is_drawn_less_often(make_panel, make_row, clock, monkeypatch):
    panel = make_panel()
    monkeypatch.setattr(panel._live, "update", lambda *_, **__: setattr(clock, "now", clock.now + 0.05))
    panel.log(make_row(1))
    assert panel._due == pytest.approx(clock.now + 5.0)


@pytest.mark.broken_by(
    "the panel stands still within an update",
    "loggers/panel.py",
    "self._collected, self._phase = steps, phase",
    "return",
)
def test_the_clock_ticks_within_an_update_with_the_steps_so_far(make_panel, make_row, clock):
    panel = make_panel()
    panel.log(make_row(1))
    drawn = []
    for second in range(1, 9):
        clock.now += 1.0
        panel.tick(128 * second, "collecting" if second < 8 else "learning")
        drawn.append("\n".join(plain(panel, 100)))
    for second, text in enumerate(drawn[:7], 1):
        assert f"{second} s elapsed" in text
        assert f"{1024 + 128 * second:,} / 102,400 steps" in text
        assert f"collecting {128 * second:,} of 1,024" in text
    assert "128 steps/s" in drawn[6]
    assert "learning" in drawn[7]
    panel.log(make_row(2))
    assert "learning" not in "\n".join(plain(panel, 100))


def test_ticks_draw_no_more_often_than_rows(make_panel, make_row, clock):
    panel = make_panel()
    panel.log(make_row(1))
    drawn = 0
    for step in range(100):
        before = len(panel._console.file.getvalue())
        panel.tick(step, "collecting")
        drawn += len(panel._console.file.getvalue()) > before
        clock.now += 1 / 32
    assert 12 <= drawn <= 14


def test_a_run_that_has_ended_has_the_steps_it_learnt_from(make_panel, make_row):
    panel = make_panel()
    panel.log(make_row(3))
    panel.tick(512, "collecting")
    panel._draw("interrupted")
    assert "3,072 / 102,400 steps" in "\n".join(plain(panel, 100, "interrupted"))


def test_the_end_is_said_and_the_cursor_comes_back(make_panel, make_row, clock):
    panel = make_panel()
    panel.log(make_row(100))
    clock.now += 7.0
    panel.close("interrupted")
    written = panel._console.file.getvalue()
    assert "interrupted after 7 s" in written
    assert written.rindex("\x1b[?25h") > written.rindex("interrupted after 7 s")


def test_names_and_messages_are_no_markup(make_info, make_row, clock):
    panel = PanelLogger(make_info(name="[bold]x[/]", env="my:[red]Env"), terminal(100), clock)
    panel.message("saved [green]here")
    panel.close("finished")
    written = panel._console.file.getvalue()
    for text in ("[bold]x[/]", "my:[red]Env", "saved [green]here"):
        assert text in written


# Which of the two


class Tty(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "term", "kind"),
    [
        (Tty(), "xterm", PanelLogger),
        (Tty(), "dumb", LineLogger),
        (io.StringIO(), "xterm", LineLogger),
    ],
)
def test_the_panel_is_for_terminals_only(info, monkeypatch, stream, term, kind):
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", term)
    monkeypatch.setenv("FORCE_COLOR", "1")
    logger = console_logger(info)
    logger.close("finished")
    assert isinstance(logger, kind)
