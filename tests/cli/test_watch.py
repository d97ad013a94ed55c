"""`rlcli watch`: on a terminal, in a pipe, narrow; runs that are trained, end, resume, are removed."""

from __future__ import annotations

import fcntl
import io
import itertools
import json
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from rlcli.analysis.watch.board import Board
from rlcli.analysis.watch.screen import render, summary
from rlcli.cli.complete import candidates
from rlcli.errors import StorageError
from rlcli.runs.train import train
from rlcli.store.lock import Lock
from tests import forked
from tests.cli.conftest import Rlcli
from tests.cli.loaded import loaded_by
from tests.runs.tiny import manifest_of, tiny

CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that finished, to be copied."""
    run = tmp_path_factory.mktemp("model") / "run"
    train([tiny()], [run])
    return run


Make = Callable[..., Path]


@pytest.fixture
def make(workplace: Path, model: Path) -> Iterator[Make]:
    """Makes a run with the given status that has no rows; one that trains is locked."""
    locks = []

    def run(name: str, status: str = "finished", **changes: Any) -> Path:
        folder = workplace / "runs" / name
        shutil.copytree(model, folder)
        (folder / "metrics.jsonl").write_text("")
        (folder / "lock").unlink(missing_ok=True)
        about = {"name": folder.name, "id": f"{abs(hash(name)):016x}"[:8], "status": status,
                 "total_steps": 1000, "exit_code": None}  # fmt: skip
        content = manifest_of(model) | about | changes
        (folder / "manifest.json").write_text(json.dumps(content))
        if status == "running":
            locks.append(Lock(folder))
        return folder

    yield run
    for lock in locks:
        lock.release()


def write(folder: Path, update: int, *, returned: float | None = None, **figures: float) -> None:
    row = {"update": update, "env_steps": 100 * update, "behaviour/ess": 0.9, "behaviour/kl_mu_pi": 0.01,
           "behaviour/clip_fraction": 0.1, "time/steps_per_second": 50.0, "time/elapsed": 2.0 * update,
           "train/return_100": 10.0 * update if returned is None else returned}  # fmt: skip
    row |= {name.replace("__", "/"): value for name, value in figures.items()}
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")


def end(folder: Path, status: str) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"status": status}))


def sweep_of(folder: Path, names: list[str]) -> None:
    job = {"name": "", "overrides": [], "varied": [], "status": "waiting", "exit_code": None, "message": None}
    content = {"version": 2, "overrides": [], "started": "2024-01-04T10:20:30+00:00",
               "jobs": [job | {"name": name} for name in names]}  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sweep.json").write_text(json.dumps(content))


def drawn(board: Board, width: int = 80, height: int = 24) -> str:
    console = Console(width=width, height=height, file=io.StringIO(), force_terminal=True, color_system=None)
    console.print(render(board, console))
    return console.file.getvalue()  # type: ignore[attr-defined]


class Terminal:
    """`rlcli watch` on a terminal of its own."""

    def __init__(self, *words: str, columns: int = 80, rows: int = 24, **env: str) -> None:
        self.ours, self.theirs = pty.openpty()
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.before = termios.tcgetattr(self.theirs)
        plain = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        streams = (self.theirs, self.theirs, self.theirs)
        self.process = forked.command(
            ("watch", *words, "--every", "0.1"), streams, plain | {"TERM": "xterm"} | env
        )
        self.shown = ""

    def until(self, text: str, seconds: float = 30.0) -> str:
        """What is shown up to a text."""
        deadline = time.monotonic() + seconds
        while text not in self.shown:
            assert time.monotonic() < deadline, self.shown[-2000:]
            if select.select([self.ours], [], [], 0.1)[0]:
                self.shown += os.read(self.ours, 65536).decode(errors="replace")
        found, _, self.shown = self.shown.partition(text)
        return found + text

    def press(self, keys: str) -> None:
        os.write(self.ours, keys.encode())

    def rest(self) -> str:
        """What it shows to its end."""
        deadline = time.monotonic() + 30.0
        while self.process.poll() is None or select.select([self.ours], [], [], 0.05)[0]:
            assert time.monotonic() < deadline
            if select.select([self.ours], [], [], 0.1)[0]:
                self.shown += os.read(self.ours, 65536).decode(errors="replace")
        return self.shown

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.ours)
        os.close(self.theirs)


def test_rows_appear_as_they_are_written_and_q_leaves(make: Make) -> None:
    folder = make("live", "running")
    terminal = Terminal("live")
    try:
        terminal.until("running, 0% of 1,000 steps")
        write(folder, 1, returned=123.4)
        terminal.until("123.4")
        write(folder, 2, returned=234.5, behaviour__ess=0.25)
        terminal.until("ESS 0.2500: few samples decide the update")
        end(folder, "finished")
        terminal.until("finished, 20% of 1,000 steps")
        terminal.press("q")
        rest = terminal.rest()
        assert terminal.process.returncode == 0
        assert "\x1b[?1049l" in rest, "the screen as it was before"
        assert "\x1b[?25h" in rest, "the cursor"
        assert termios.tcgetattr(terminal.theirs) == terminal.before, "echo and lines"
        left = CONTROL.sub("", rest.rpartition("\x1b[?1049l")[2])
        assert "234.5" in left, "the last state stays"
        assert "Traceback" not in left
    finally:
        terminal.close()


@pytest.mark.parametrize(("how", "code"), [("keys", 0), ("signal", 0), ("term", 143)])
def test_ctrl_c_leaves_a_clean_terminal(how: str, code: int, make: Make) -> None:
    make("live", "running")
    terminal = Terminal("live", NO_COLOR="1")
    try:
        shown = terminal.until("q quits")
        assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", shown), "no colour"
        if how == "keys":
            terminal.press("\x03")
        else:
            os.kill(terminal.process.pid, signal.SIGINT if how == "signal" else signal.SIGTERM)
        rest = terminal.rest()
        assert terminal.process.returncode == code
        assert "\x1b[?1049l" in rest
        assert termios.tcgetattr(terminal.theirs) == terminal.before
        assert "Interrupted" not in rest
    finally:
        terminal.close()


def test_a_key_pressed_before_it_is_ready_counts(make: Make) -> None:
    make("live", "running")
    terminal = Terminal("live")
    try:
        terminal.press("q")
        terminal.rest()
        assert terminal.process.returncode == 0
    finally:
        terminal.close()


def test_a_run_that_resumes_has_the_rows_that_stayed(make: Make, workplace: Path) -> None:
    folder = make("live", "running")
    for update in range(1, 6):
        write(folder, update)
    board = Board(["live"], workplace / "runs")
    [run] = board.runs.values()
    assert (run.steps, run.row["train/return_100"]) == (500, 50.0)
    kept = (folder / "metrics.jsonl").read_text().splitlines(keepends=True)[:2]
    (folder / "metrics.jsonl").write_text("".join(kept))
    board.refresh()
    assert (run.steps, run.row["train/return_100"]) == (200, 20.0)
    for update in range(3, 9):
        write(folder, update, returned=7.0)
    board.refresh()
    assert (run.steps, run.row["train/return_100"]) == (800, 7.0)
    assert run.series["train/return_100"].limits == (7.0, 20.0)


def test_a_run_that_is_removed_or_damaged_is_named(make: Make, workplace: Path) -> None:
    gone, damaged = make("gone", "running"), make("damaged", "running")
    write(gone, 1)
    board = Board(["gone", "damaged"], workplace / "runs")
    shutil.rmtree(gone)
    (damaged / "manifest.json").write_text("{")
    board.refresh()
    assert {run.label: run.status for run in board.runs.values()} == {"gone": "removed", "damaged": "damaged"}
    text = drawn(board)
    assert "! gone: removed: its folder does not exist any more" in text
    assert "! damaged: damaged: " in text


def test_a_run_that_is_damaged_from_the_start_is_named_beside_the_others(make: Make, workplace: Path) -> None:
    write(make("sound", "running"), 1)
    damaged = make("damaged", "running")
    write(damaged, 2)
    (damaged / "manifest.json").write_text("{")
    board = Board(["sound", "damaged"], workplace / "runs")
    assert {run.label: run.status for run in board.runs.values()} == {
        "sound": "running",
        "damaged": "damaged",
    }
    done, total = board.steps
    assert done == 100 < total
    with pytest.raises(StorageError, match="damaged"):
        Board(["damaged"], workplace / "runs")


def test_a_killed_run_is_named(make: Make, workplace: Path) -> None:
    folder = make("killed", "running")
    board = Board(["killed"], workplace / "runs")
    (folder / "lock").unlink()
    board.refresh()
    assert "! killed: killed: its process is gone; resume with: rlcli resume" in drawn(board, width=120)


def test_runs_of_a_sweep_appear_as_they_start(make: Make, workplace: Path) -> None:
    sweep = workplace / "runs" / "grid"
    sweep_of(sweep, ["seed=0", "seed=1"])
    (sweep / "seed=1").mkdir()
    make("grid/seed=0", "running", sweep="grid")
    board = Board(["grid"], workplace / "runs")
    assert [run.label for run in board.runs.values()] == ["seed=0"]
    assert summary(board) == "0% of 1,000 steps, 1 running, 1 waiting"
    (sweep / "seed=1").rmdir()
    write(make("grid/seed=1", "running", sweep="grid"), 5)
    board.refresh()
    assert [run.label for run in board.runs.values()] == ["seed=0", "seed=1"]
    assert summary(board) == "25% of 2,000 steps, 2 running, return 50.00, 10 s left"


def many(make: Make) -> None:
    names = [f"clip=0.{place:02},seed={place}" for place in range(32)]
    for place, name in enumerate(names):
        status = {5: "failed", 9: "interrupted"}.get(place, "running" if place < 20 else "finished")
        folder = make(f"grid/{name}", status, sweep="grid")
        for update in range(1, 11 - place // 4):
            write(folder, update, behaviour__ess=0.1 if place == 17 else 0.9)
    sweep_of(folder.parent, names)


def test_a_sweep_of_32_fits_the_terminal_and_shows_first_what_needs_attention(
    make: Make, workplace: Path
) -> None:
    many(make)
    board = Board(["grid"], workplace / "runs")
    for width, height in itertools.product((30, 40, 60, 80, 120), (12, 24, 60)):
        lines = drawn(board, width, height).splitlines()
        assert max(map(len, lines)) <= width
        assert len(lines) <= height
        shown = list(itertools.takewhile(re.compile(r"(clip=)?0\.").match, lines[2:]))
        assert "failed" in shown[0]
        assert height == 12 or "17" in shown[1], "the alert is second"
        hidden = 32 - len(shown)
        assert (f"and {hidden} more" in lines) == (hidden > 0)
        assert len(shown) >= min(32, height - 11)
        assert "18 running" in " ".join(lines)
        warned = [line for line in lines if line.startswith("! ")]
        assert "failed" in warned[0]
        assert len(warned) == 2


def test_sparklines_are_on_one_scale(make: Make, workplace: Path) -> None:
    """The lower run has low bars, that with half the steps half the width; of one environment."""
    for name, size, updates in (("high", 100.0, 10), ("low", 10.0, 10), ("short", 100.0, 5)):
        folder = make(name)
        for update in range(1, updates + 1):
            write(folder, update, returned=size * update / 10)
    other = make("other", env="Pendulum-v1")
    write(other, 1, returned=-1e6)
    lines = drawn(Board(["high", "low", "short", "other"], workplace / "runs"), 100).splitlines()
    courses = {line.split()[0]: re.search("[▁▂▃▄▅▆▇█]+", line) for line in lines[2:6]}
    high, low, short, _ = (found.group() if found else "" for found in courses.values())
    assert high[0] == "▁"
    assert high[-1] == "█"
    assert set(low) == {"▁"}
    assert len(short) == pytest.approx(len(high) / 2, abs=1)


def test_in_a_pipe_it_prints_lines_then_a_table(make: Make) -> None:
    folder = make("live", "running")
    write(folder, 1)

    def finish() -> None:
        time.sleep(1.5)
        write(folder, 10, returned=500.0)
        end(folder, "finished")

    later = threading.Thread(target=finish)
    process = subprocess.Popen(
        [sys.executable, "-m", "rlcli", "watch", "live", "--every", "0.2"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    later.start()
    rest = process.stdout.read()
    process.stdout.close()
    later.join()
    assert process.wait() == 0
    assert first == "10% of 1,000 steps, 1 running, return 10.00, 18 s left\n"
    assert not set("\x1b\r") & set(rest)
    *_, heading, line, total = rest.splitlines()
    assert heading.split()[:5] == ["run", "status", "done", "return", "KL"]
    assert line.split()[:5] == ["live", "finished", "100%", "500.0", "0.0100"]
    assert total == "100% of 1,000 steps, 1 finished, return 500.0"


def test_json_has_one_object_per_run(make: Make, rlcli: Rlcli) -> None:
    write(make("one"), 10)
    write(make("two", "failed", message="loss is nan"), 3, behaviour__ess=0.1)
    one, two = rlcli("watch", "one", "two", "--json").rows()
    assert (one["status"], one["done"], one["figures"]["env_steps"]) == ("finished", 1.0, 1000.0)
    assert (two["status"], two["message"], two["alerts"]) == ("failed", "loss is nan", [])


def test_mistakes_are_named(make: Make, rlcli: Rlcli) -> None:
    make("one")
    ended = rlcli("watch", "onee")
    assert (ended.code, "Did you mean 'one'?" in ended.err) == (2, True)
    assert rlcli("watch", "one", "--every", "0").code == 2


def test_nothing_heavy_is_loaded_to_watch(make: Make) -> None:
    make("one")
    assert loaded_by("watch", "one") == set()


def test_completion_knows_runs_and_sweeps(make: Make, workplace: Path) -> None:
    make("one", id="11111111")
    sweep_of(workplace / "runs" / "grid", [])
    assert [word for word, _ in candidates(["watch"], "")] == ["last", "grid", "11111111"]
    assert [word for word, _ in candidates(["plot", "last", "--metric"], "behaviour/es")] == ["behaviour/ess"]
    assert [word for word, _ in candidates(["plot", "--x"], "")] == ["steps", "seconds", "updates"]
