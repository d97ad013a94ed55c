"""What is said of a sweep while it trains."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from rlcli.sweeps.progress import EVERY, Lines, Panel, Silent
from rlcli.sweeps.sweep import Job

STEERING = "x\x1b[2J\x07"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def jobs(count: int = 4, **changes: Any) -> list[Job]:
    return [Job(f"seed={seed},learning_rate=0.00025", (), **changes) for seed in range(count)]


def totals(members: list[Job]) -> dict[str, int]:
    return {job.name: 1000 for job in members}


def row(steps: int, value: float = 20.0) -> dict[str, Any]:
    return {"env_steps": steps, "train/return_100": value, "behaviour/kl_mu_pi": 0.01,
            "behaviour/ess": 0.98, "behaviour/clip_fraction": 0.1}  # fmt: skip


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_lines_tell_the_total_every_tenth_and_every_few_seconds(clock: Clock) -> None:
    members, stream = jobs(), io.StringIO()
    lines = Lines(members, totals(members), stream, clock)
    for steps in range(50, 1001, 50):
        for job in members:
            clock.now += 0.01
            lines.row(job.name, row(steps))
    said = stream.getvalue().splitlines()
    assert len(said) == 10
    assert said[-1].startswith("100% of 4,000 steps, ")
    assert "0 of 4 finished, median return 20.00" in said[-1]
    slow = Lines(members, totals(members), stream := io.StringIO(), clock)
    slow.row(members[0].name, row(1))
    clock.now += EVERY
    slow.row(members[0].name, row(2))
    slow.row(members[0].name, row(3))
    assert len(stream.getvalue().splitlines()) == 1


def test_the_speed_is_that_of_this_process(clock: Clock) -> None:
    """Steps of before a resume, and steps that a failed job will not make, are no speed."""
    members, stream = jobs(2, env_steps=500), io.StringIO()
    lines = Lines(members, totals(members), stream, clock)
    for steps in (600, 700):
        clock.now += 1.0
        for job in members:
            lines.row(job.name, row(steps))
    clock.now += 1.0
    members[0].status, members[0].message = "failed", "broken"
    lines.ended(members[0])
    lines.row(members[1].name, row(800))
    *_, failed, last = stream.getvalue().splitlines()
    assert failed == f"{members[0].name} failed: broken"
    assert last.startswith(" 88% of 1,700 steps, ")
    speed = float(last.split("steps, ")[1].split(" ")[0].replace(",", ""))
    assert speed == pytest.approx(200.0, rel=0.3)


@pytest.mark.broken_by(
    "the start of the next cohort slows the speed shown",
    "sweeps/progress.py",
    "            self.progress.restart()\n",
    "            pass\n",
)
def test_the_speed_excludes_the_start_of_the_next_runs(clock: Clock) -> None:
    members, stream = jobs(2), io.StringIO()
    lines = Lines(members, totals(members), stream, clock)
    for steps in range(100, 1001, 100):
        clock.now += 1.0
        lines.row(members[0].name, row(steps))
    members[0].status = "finished"
    lines.ended(members[0])
    for steps in (100, 200):
        clock.now += 30.0 if steps == 100 else 1.0
        lines.row(members[1].name, row(steps))
        assert ", 100 steps/s, " in stream.getvalue().splitlines()[-1]


def test_only_endings_worth_a_line_have_one(clock: Clock) -> None:
    for status, said in (("finished", 0), ("interrupted", 0), ("failed", 1), ("pruned", 1)):
        members, stream = jobs(1), io.StringIO()
        lines = Lines(members, totals(members), stream, clock)
        members[0].status = status
        lines.ended(members[0])
        assert len(stream.getvalue().splitlines()) == said


def test_quiet_tells_of_failures_alone() -> None:
    stream, members = io.StringIO(), jobs(2)
    silent = Silent(stream)
    silent.message("4 jobs: 1 cohort of 4")
    silent.row(members[0].name, row(1))
    members[0].status, members[0].message = "failed", STEERING
    for job in members:
        silent.ended(job)
    assert stream.getvalue() == f"{members[0].name} failed: x\\x1b[2J\\x07\n"


def test_nothing_is_left_to_do(clock: Clock) -> None:
    members = jobs(2, status="finished", env_steps=1000)
    panel = Panel(members, {}, Console(file=io.StringIO(), force_terminal=True), clock)
    panel.close(interrupted=False)


@pytest.mark.broken_by(
    "names of jobs are cut off beside figures",
    "sweeps/progress.py",
    "(width - name_width - COLUMN) // COLUMN",
    "(width - COLUMN) // COLUMN",
    case="60",
)
@pytest.mark.parametrize("width", [40, 60, 80])
def test_the_panel_shows_names_whole_and_then_figures(width: int, clock: Clock) -> None:
    members = [Job(f"algo={name},seed={seed}", ()) for name in ("ppo", "trpo") for seed in range(2)]
    console = Console(file=io.StringIO(), width=width, height=20, color_system=None)
    panel = Panel(members, totals(members), console, clock)
    for job in members:
        panel.row(job.name, row(500))
    shown = Console(file=(file := io.StringIO()), width=width, color_system=None)
    shown.print(panel.render())
    panel.close(interrupted=False)
    assert all(f"{job.name} " in file.getvalue() for job in members)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_panel_fits(width: int, clock: Clock) -> None:
    members = jobs(60)
    console = Console(file=io.StringIO(), width=width, height=20, color_system=None)
    panel = Panel(members, totals(members), console, clock)
    for job in members:
        panel.row(job.name, row(500))
    shown = Console(file=(file := io.StringIO()), width=width, color_system=None)
    shown.print(panel.render())
    panel.close(interrupted=False)
    printed = file.getvalue().splitlines()
    assert len(printed) < 20
    assert max(map(cell_len, printed)) <= width
    rows = sum("50%" in line and "seed=" in line for line in printed)
    total = printed[printed.index("") + 1 :] if "" in printed else printed[-1:]
    assert rows == 14 - len(total)
    assert f"and {60 - rows} more in training" in file.getvalue()
    assert total[0].lstrip().startswith("50% of 60,000 steps")
    assert printed[0].split()[:3] == ["job", "done", "return"]
    assert all("20.00" in line for line in printed[2 : 2 + rows])
    assert ("ESS" in file.getvalue()) == (width >= 80)


def test_who_has_ended_leaves_the_table(clock: Clock) -> None:
    members = jobs(2)
    panel = Panel(members, totals(members), Console(file=io.StringIO(), width=90), clock)
    for job in members:
        panel.row(job.name, row(500))
    members[0].status, members[0].eval_return_mean = "finished", 40.0
    panel.ended(members[0])
    shown = Console(file=(file := io.StringIO()), width=90, color_system=None)
    shown.print(panel.render())
    panel.close(interrupted=False)
    assert members[0].name not in file.getvalue()
    assert members[1].name in file.getvalue()
    assert "75% of 2,000 steps" in file.getvalue()
    assert "1 of 2 finished, median return 30.00" in file.getvalue()


def test_a_name_does_not_steer_the_terminal(clock: Clock) -> None:
    members = [Job(STEERING, (), status="failed", message=STEERING)]
    file = io.StringIO()
    panel = Panel(members, {STEERING: 10}, Console(file=file, width=60, force_terminal=False), clock)
    panel.row(STEERING, row(5))
    panel.message(STEERING)
    panel.ended(members[0])
    panel.close(interrupted=False)
    lines = Lines(members, {STEERING: 10}, file, clock)
    lines.ended(members[0])
    assert "\x07" not in file.getvalue()
    assert "\x1b[2J" not in file.getvalue()


@pytest.mark.broken_by(
    "steps that interrupted jobs have left are left out of the total",
    "sweeps/progress.py",
    'elif job.status != "interrupted":',
    "else:",
)
def test_the_total_of_an_interrupted_sweep_has_what_is_left_to_do(clock: Clock) -> None:
    """Half of one job is trained, another is finished, two have not begun."""
    members = jobs(4)
    lines = Lines(members, totals(members), stream := io.StringIO(), clock)
    panel = Panel(members, totals(members), Console(file=io.StringIO(), width=90), clock)
    for one in (lines, panel):
        one.row(members[0].name, row(1000))
        one.row(members[1].name, row(500))
    clock.now += 7.0
    members[0].status, members[1].status = "finished", "interrupted"
    for one in (lines, panel):
        one.ended(members[0])
        one.ended(members[1])
        one.close(interrupted=True)
    expected = " 38% of 4,000 steps, interrupted after 7 s, 1 of 4 finished"
    assert stream.getvalue().splitlines()[-1].startswith(expected)
    shown = Console(file=(file := io.StringIO()), width=90, color_system=None)
    shown.print(panel.render())
    assert expected in file.getvalue()
    assert "left" not in file.getvalue()
