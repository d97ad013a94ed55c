"""Events of cohorts: what is sent is read back, and whatever is no event is ignored."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from rlcli.runs.train import Result
from rlcli.sweeps.events import (
    LineBuffer,
    Message,
    RunEnded,
    RunRow,
    Sender,
    decoded,
    encoded,
    figures_of,
    printed,
)

NAMES = ("seed=0", "seed=1")
RESULT = {
    "dir": "runs/a", "id": "abc", "status": "finished", "env_steps": 96, "updates": 6,
    "eval_return_mean": 1.5, "exit_code": 0, "message": None,
}  # fmt: skip


def line_of(kind: str, content: Any) -> bytes:
    return json.dumps({kind: content}).encode()


def ended(name: str, fields: dict[str, Any]) -> RunEnded:
    return RunEnded(name, Result(**fields | {"dir": Path(fields["dir"])}))


def test_events_are_read_back() -> None:
    failed = RESULT | {"eval_return_mean": None, "message": "why", "status": "failed"}
    for event in (
        RunRow("seed=0", {"env_steps": 16, "update": 1, "behaviour/ess": 0.5}),
        Message("hello\n\x1b[2J"),
        ended("seed=1", RESULT),
        ended("seed=1", failed),
    ):
        line = encoded(event)
        assert line.count(b"\n") == 1
        assert decoded(line, NAMES) == event


@pytest.mark.parametrize(
    "line",
    [
        b"", b"{}", b"[]", b'"message"', b"null", b"1", b"\xff\xfe", b"{", b"[" * 5000,
        b'{"message": "a", "row": 1}',
        line_of("message", 1), line_of("message", ["a"]), line_of("started", ["seed=0"]),
        line_of("ended", [["seed=0"], 0]), line_of("CohortEnded", ["seed=0", {}]),
        *(line_of("row", content) for content in (
            None, [], ["seed=0"], ["seed=0", []], ["seed=0", {}], ["seed=2", {"env_steps": 1}],
            [0, {"env_steps": 1}], [["seed=0"], {"env_steps": 1}], ["seed=0", {"env_steps": "1"}],
            ["seed=0", {"env_steps": True}], ["seed=0", {"env_steps": -1}],
            ["seed=0", {"env_steps": 1, "loss/policy": float("nan")}],
        )),
        *(line_of("ended", ["seed=0", about]) for about in (
            {}, RESULT | {"more": 1}, RESULT | {"status": "waiting"}, RESULT | {"updates": 1.5},
            RESULT | {"message": 1}, RESULT | {"exit_code": True},
        )),
        line_of("ended", ["seed=0", RESULT, 1]), line_of("ended", ["seed=2", RESULT]),
    ],
    ids=lambda line: line[:60].decode(errors="replace"),
)  # fmt: skip
def test_whatever_is_no_event_is_ignored(line: bytes) -> None:
    assert decoded(line, NAMES) is None


def test_figures_of_a_row_are_numbers() -> None:
    row = {"env_steps": 16, "a": "text", "b": [1.0], "c": {"d": 1}, "e": None, "f": 0.5}
    assert figures_of(row) == {"env_steps": 16, "f": 0.5}
    assert decoded(line_of("row", ["seed=0", row | {"g": True}]), NAMES) == RunRow("seed=0", figures_of(row))


def test_lines_are_cut_however_the_bytes_come() -> None:
    text = b"first\n\nlonger than that\nno end"
    for size in (1, 2, 7, 100):
        lines = LineBuffer(10)
        pieces = [text[start : start + size] for start in range(0, len(text), size)]
        found = [line for piece in pieces for line in lines.add(piece)] + list(lines.rest())
        assert found == [(b"first", True), (b"", True), (b"longer tha", False), (b"no end", True)]


def test_a_line_without_an_end_takes_bounded_memory() -> None:
    lines = LineBuffer(1000)
    for _ in range(1000):
        assert list(lines.add(bytes(10_000))) == []
    assert sys.getsizeof(lines._line) < 20_000


def test_a_message_can_be_shown_whatever_it_is() -> None:
    assert printed(b"\xff plain\r", True) == Message("\\xff plain")
    assert printed(b"\x1b[2J", False) == Message("\\x1b[2J ...")


def test_a_fork_of_a_worker_sends_nothing() -> None:
    reader, writer = os.pipe()
    sender = Sender(writer)
    child = os.fork()
    if not child:
        sender.send(Message("of the child"))
        os._exit(0)
    os.waitpid(child, 0)
    sender.send(Message("of the worker"))
    os.close(writer)
    with os.fdopen(reader, "rb") as lines:
        assert [decoded(line, ()) for line in lines] == [Message("of the worker")]


def test_a_reader_that_is_gone_is_no_failure() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    Sender(writer).send(Message("anybody?"))
    os.close(writer)
