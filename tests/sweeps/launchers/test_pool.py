"""Worker processes: what they tell comes on a descriptor of its own, what they print does no harm."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rlcli.sweeps import progress
from rlcli.sweeps.events import LONGEST_EVENT, LONGEST_MESSAGE, Lines, Sender, event, message
from rlcli.sweeps.launchers import pool
from rlcli.sweeps.launchers.pool import MOST_WAITING, in_processes
from tests.sweeps.conftest import Sweeping
from tests.sweeps.test_multirun import assert_as_alone

NAMES = ("seed=0", "seed=1")
RESULT = {
    "dir": "runs/a", "id": "abc", "status": "finished", "env_steps": 96, "updates": 6,
    "eval_return_mean": 1.5, "exit_code": 0, "message": None,
}  # fmt: skip


def told(kind: str, content: Any) -> bytes:
    return json.dumps({kind: content}).encode()


def test_events_are_read_back() -> None:
    row = {"env_steps": 16, "update": 1, "behaviour/ess": 0.5}
    assert event(told("row", ["seed=0", row]), NAMES) == ("row", ("seed=0", row))
    assert event(told("say", "hello"), NAMES) == ("say", "hello")
    for result in (RESULT, RESULT | {"eval_return_mean": None, "message": "why", "status": "failed"}):
        assert event(told("result", ["seed=1", result]), NAMES) == ("result", ("seed=1", result))


@pytest.mark.parametrize(
    "line",
    [
        b"", b"{}", b"[]", b'"say"', b"null", b"1", b"\xff\xfe", b"{", b"[" * 5000, b'{"say": "a", "row": 1}',
        told("say", 1), told("say", ["a"]), told("begun", ["seed=0"]), told("ended", [["seed=0"], 0]),
        *(told("row", content) for content in (
            None, [], ["seed=0"], ["seed=0", []], ["seed=0", {}], ["seed=2", {"env_steps": 1}],
            [0, {"env_steps": 1}], [["seed=0"], {"env_steps": 1}], ["seed=0", {"env_steps": "1"}],
            ["seed=0", {"env_steps": True}], ["seed=0", {"env_steps": -1}],
            ["seed=0", {"env_steps": 1, "loss/policy": float("nan")}],
        )),
        *(told("result", ["seed=0", about]) for about in (
            {}, RESULT | {"more": 1}, RESULT | {"status": "waiting"}, RESULT | {"updates": 1.5},
            RESULT | {"message": 1}, RESULT | {"exit_code": True},
        )),
        told("result", ["seed=0", RESULT, 1]), told("result", ["seed=2", RESULT]),
    ],
    ids=lambda line: line[:60].decode(errors="replace"),
)  # fmt: skip
def test_whatever_is_no_event_is_passed_over(line: bytes) -> None:
    assert event(line, NAMES) is None


def test_figures_of_a_row_are_numbers() -> None:
    row = {"env_steps": 16, "a": "text", "b": [1.0], "c": {"d": 1}, "e": None, "f": 0.5}
    assert event(told("row", ["seed=0", row]), NAMES) == ("row", ("seed=0", {"env_steps": 16, "f": 0.5}))


def test_lines_are_cut_however_the_bytes_come() -> None:
    text = b"first\n\nlonger than that\nno end"
    for size in (1, 2, 7, 100):
        lines = Lines(10)
        pieces = [text[start : start + size] for start in range(0, len(text), size)]
        found = [line for piece in pieces for line in lines.add(piece)] + list(lines.rest())
        assert found == [(b"first", True), (b"", True), (b"longer tha", False), (b"no end", True)]


def test_a_line_without_an_end_takes_bounded_memory() -> None:
    lines = Lines(1000)
    for _ in range(1000):
        assert list(lines.add(bytes(10_000))) == []
    assert sys.getsizeof(lines._line) < 20_000


def test_a_message_can_be_shown_whatever_it_is() -> None:
    assert message(b"\xff plain\r", True) == "\\xff plain"
    assert message(b"\x1b[2J", False) == "\\x1b[2J ..."


def test_a_fork_of_a_worker_tells_nothing() -> None:
    reader, writer = os.pipe()
    sender = Sender(writer)
    child = os.fork()
    if not child:
        sender.send("say", "of the child")
        os._exit(0)
    os.waitpid(child, 0)
    sender.send("say", "of the worker")
    os.close(writer)
    with os.fdopen(reader, "rb") as lines:
        assert [event(line, ()) for line in lines] == [("say", "of the worker")]


def test_nobody_who_listens_is_no_failure() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    Sender(writer).send("say", "anybody?")
    os.close(writer)


class Program:
    """Workers that run a shell command instead."""

    def __init__(self, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self._command, self._start = command, subprocess.Popen
        monkeypatch.setattr(pool.subprocess, "Popen", self.started)

    def started(self, words: list[str], **given: Any) -> subprocess.Popen[bytes]:
        return self._start(["bash", "-c", self._command, "bash", words[-1]], **given)


def heard(command: str, monkeypatch: pytest.MonkeyPatch, slow: float = 0.0) -> list[tuple[str, Any]]:
    """What is told of one worker, in order."""
    Program(command, monkeypatch)
    events: list[tuple[str, Any]] = []

    def hear(kind: str, content: Any) -> None:
        time.sleep(slow)
        events.append((kind, content))

    assert in_processes(Path(), [NAMES], 1, hear) is None
    return events


SAYS = """printf '{"say": "told"}\\n' >&$1; """
"""A worker that tells something."""


@pytest.mark.parametrize(
    "left_behind",
    [
        "sleep 30 & echo $! >pid",
        "sleep 30 <&0 & echo $! >pid",
        "(while echo again; do :; done) & echo $! >pid",
        "(while echo again >&$1; do :; done) & echo $! >pid",
    ],
    ids=["all held open", "stdin held open", "prints on", "writes on to the descriptor"],
)  # fmt: skip
def test_a_child_that_outlives_its_worker_holds_nobody_up(
    left_behind: str, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = time.monotonic()
    events = heard(SAYS + left_behind, monkeypatch)
    try:
        assert time.monotonic() - begun < 10.0
        assert events[:1] == [("begun", NAMES)]
        assert ("say", "told") in events
        assert events[-1] == ("ended", (NAMES, 0))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(Path("pid").read_text()), signal.SIGKILL)


def test_a_worker_that_closes_its_pipes_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    events = heard('eval "exec $1>&-"; exec >&- 2>&-; sleep 0.3; exit 7', monkeypatch)
    assert events == [("begun", NAMES), ("ended", (NAMES, 7))]


def test_prints_are_messages_and_no_events(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("printed").write_bytes(told("result", ["seed=0", RESULT]) + b"\n\xff\n" + b"x" * 5000 + b"\nend")
    Path("told").write_bytes(
        b"garbage\n" + b"y" * (LONGEST_EVENT + 1) + b"\n"
        + 2 * (told("result", ["seed=0", RESULT]) + b"\n") + told("result", ["seed=1", RESULT])
    )  # fmt: skip
    events = heard("cat printed; cat printed >&2; cat told >&$1; kill -9 $$", monkeypatch)
    said = [content for kind, content in events if kind == "say"]
    shown = [told("result", ["seed=0", RESULT]).decode(), "\\xff", "x" * LONGEST_MESSAGE + " ..."]
    assert said == [*shown, "end" + shown[0], *shown[1:], "end"]
    # The same end twice is told once, and half a line not at all.
    assert [content[0] for kind, content in events if kind == "result"] == ["seed=0"]
    assert events[-1] == ("ended", (NAMES, -9))


def test_a_flood_of_prints_leaves_room_for_events(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flood = f"i=0; while [ $i -lt {5 * MOST_WAITING} ]; do echo $i; i=$((i+1)); done; "
    events = heard(flood + SAYS, monkeypatch, slow=0.001)
    said = [content for kind, content in events if kind == "say"]
    assert len(said) < 5 * MOST_WAITING
    assert any("left out" in text for text in said)
    assert "told" in said


@pytest.fixture
def noisy(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Environments of other processes than this one are noisy; what they leave behind ends with the test."""
    left = workplace / "left"
    left.touch()
    monkeypatch.setenv("NOT_NOISY", str(os.getpid()))
    monkeypatch.setenv("LEFT_BEHIND", str(left))
    yield
    for pid in left.read_text().split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)


def test_a_noisy_environment_trains_as_a_quiet_one(
    noisy: None, sweep: Sweeping, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(
        "rlcli.sweeps.training.watch", lambda jobs, totals, _: progress.Lines(jobs, totals, shown)
    )
    done = sweep(
        "env=tests.sweeps.launchers.noisy:Noisy-v0", "seed=0,1", "cohort.workers=2", "cohort.max_size=1"
    )
    assert done.exit_code == 0
    for text in ("\\xff\\xfe are no UTF-8", "\\x1b[2Jsteering", '{"say": 1}', "xxx ...", "without an end"):
        assert text in shown.getvalue()
    assert shown.getvalue().replace("\n", "").isprintable()
    monkeypatch.delenv("NOT_NOISY")
    assert_as_alone(done, workplace / "alone")


ENDS = """
import json, sys, threading, time
from pathlib import Path
from rlcli.sweeps import worker
worker.GRACE = 0.2
worker._train = lambda *_: threading.Thread(target=time.sleep, args=(60,)).start()
worker.main()
"""


@pytest.mark.parametrize("names", [b'["seed=0"]\n', b""])
def test_a_worker_ends_whatever_is_left_in_it(names: bytes) -> None:
    """A thread that does not; and nobody who says what to train."""
    reader, writer = os.pipe()
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", ENDS, ".", str(writer)], input=names, pass_fds=(writer,), timeout=60
    )
    os.close(reader)
    os.close(writer)
    assert done.returncode in ((0, 143) if names else (143,))
    assert time.monotonic() - begun < 30
