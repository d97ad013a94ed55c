"""Process pool: events of workers come on a pipe of their own, and what workers print does no harm."""

from __future__ import annotations

import contextlib
import io
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
from rlcli.sweeps.events import (
    LONGEST_EVENT,
    LONGEST_MESSAGE,
    CohortEnded,
    Event,
    Message,
    RunEnded,
    RunsStarted,
)
from rlcli.sweeps.launchers import pool
from rlcli.sweeps.launchers.pool import MAX_QUEUED, train_in_processes
from tests.sweeps.conftest import Sweeping
from tests.sweeps.test_events import NAMES, RESULT, line_of
from tests.sweeps.test_multirun import assert_as_alone


class Program:
    """Workers that run a shell command instead."""

    def __init__(self, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self._command, self._start = command, subprocess.Popen
        monkeypatch.setattr(pool.subprocess, "Popen", self.started)

    def started(self, words: list[str], **given: Any) -> subprocess.Popen[bytes]:
        return self._start(["bash", "-c", self._command, "bash", words[-1]], **given)


def events_of(command: str, monkeypatch: pytest.MonkeyPatch, slow: float = 0.0) -> list[Event]:
    """The events of one worker, in order."""
    Program(command, monkeypatch)
    events: list[Event] = []

    def on_event(event: Event) -> None:
        time.sleep(slow)
        events.append(event)

    assert train_in_processes(Path(), [NAMES], 1, on_event) is None
    return events


SENDS = """printf '{"message": "sent"}\\n' >&$1; """
"""A worker that sends a message."""


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
    events = events_of(SENDS + left_behind, monkeypatch)
    try:
        assert time.monotonic() - begun < 10.0
        assert events[:1] == [RunsStarted(NAMES)]
        assert Message("sent") in events
        assert events[-1] == CohortEnded(NAMES, 0)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(Path("pid").read_text()), signal.SIGKILL)


def test_a_worker_that_closes_its_pipes_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    events = events_of('eval "exec $1>&-"; exec >&- 2>&-; sleep 0.3; exit 7', monkeypatch)
    assert events == [RunsStarted(NAMES), CohortEnded(NAMES, 7)]


def test_prints_are_messages_and_no_events(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("printed").write_bytes(line_of("ended", ["seed=0", RESULT]) + b"\n\xff\n" + b"x" * 5000 + b"\nend")
    Path("sent").write_bytes(
        b"garbage\n" + b"y" * (LONGEST_EVENT + 1) + b"\n"
        + 2 * (line_of("ended", ["seed=0", RESULT]) + b"\n") + line_of("ended", ["seed=1", RESULT])
    )  # fmt: skip
    events = events_of("cat printed; cat printed >&2; cat sent >&$1; kill -9 $$", monkeypatch)
    said = [event.text for event in events if isinstance(event, Message)]
    shown = [line_of("ended", ["seed=0", RESULT]).decode(), "\\xff", "x" * LONGEST_MESSAGE + " ..."]
    assert said == [*shown, "end" + shown[0], *shown[1:], "end"]
    # The same end twice is one event, and half a line none.
    assert [event.name for event in events if isinstance(event, RunEnded)] == ["seed=0"]
    assert events[-1] == CohortEnded(NAMES, -9)


def test_a_flood_of_prints_leaves_room_for_events(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flood = f"i=0; while [ $i -lt {5 * MAX_QUEUED} ]; do echo $i; i=$((i+1)); done; "
    events = events_of(flood + SENDS, monkeypatch, slow=0.001)
    said = [event.text for event in events if isinstance(event, Message)]
    assert len(said) < 5 * MAX_QUEUED
    assert any("left out" in text for text in said)
    assert "sent" in said


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
        "rlcli.sweeps.training.display", lambda jobs, totals, _: progress.Lines(jobs, totals, shown)
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
worker._train_and_send = lambda *_: threading.Thread(target=time.sleep, args=(60,)).start()
worker.main()
"""


@pytest.mark.parametrize("names", [b'["seed=0"]\n', b""])
def test_a_worker_ends_whatever_is_left_in_it(names: bytes) -> None:
    """A thread that does not end; and a launching process that is gone before it sent the names."""
    reader, writer = os.pipe()
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", ENDS, ".", str(writer)], input=names, pass_fds=(writer,), timeout=60
    )
    os.close(reader)
    os.close(writer)
    assert done.returncode in ((0, 143) if names else (143,))
    assert time.monotonic() - begun < 30
