"""Events of cohorts in training, and their wire format: JSON lines on a pipe that nothing else writes to.

    {"row": [name, figures]}     `RunRow`
    {"ended": [name, result]}    `RunEnded`
    {"message": text}            `Message`

Lines are read strictly: a line that is not exactly one of these is ignored. `RunsStarted`, `CohortEnded`
and `Stopping` come from the launcher itself; a worker cannot send them. What a worker, its environments and
their children print goes to standard output and standard error, and becomes a `Message` whatever it looks
like.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any

from rlcli.text import visible

if TYPE_CHECKING:
    from rlcli.runs.result import Result

LONGEST_EVENT = 2**20
"""Maximum bytes of an event's line; real ones have a few thousand."""
LONGEST_MESSAGE = 1000
"""Bytes of a printed line that are shown."""
STATUSES = ("finished", "failed", "interrupted", "pruned")
RESULT: Mapping[str, tuple[type, ...]] = {
    "dir": (str,), "id": (str,), "status": (str,), "env_steps": (int,), "updates": (int,),
    "eval_return_mean": (float, int, NoneType), "exit_code": (int,), "message": (str, NoneType),
}  # fmt: skip
"""The fields of a `Result`, with the types they have in JSON."""


@dataclass(frozen=True)
class RunsStarted:
    """Runs that are in training from now on."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class RunRow:
    """Figures of a run's last update, `env_steps` among them."""

    name: str
    figures: Mapping[str, float]


@dataclass(frozen=True)
class RunEnded:
    """A run has ended, well or not: its result says how."""

    name: str
    result: Result


@dataclass(frozen=True)
class Message:
    """A line of text to show: about the training, or printed by a worker."""

    text: str


@dataclass(frozen=True)
class CohortEnded:
    """The last event of a cohort."""

    names: tuple[str, ...]
    exit_code: int | None
    """Of the worker process: runs without a `RunEnded` failed with it. None: such runs did not fail."""


@dataclass(frozen=True)
class Stopping:
    """A first signal has come: the updates in progress are the last."""

    left: str = ""
    """The time they still take, if known."""


Event = RunsStarted | RunRow | RunEnded | Message | CohortEnded | Stopping
OnEvent = Callable[[Event], None]


def figures_of(row: Mapping[str, Any]) -> dict[str, float]:
    """The plain numbers of a row of metrics."""
    return {name: value for name, value in row.items() if isinstance(value, int | float)}


def encoded(event: RunRow | RunEnded | Message) -> bytes:
    """The line of an event."""
    content: dict[str, Any]
    match event:
        case RunRow(name, figures):
            content = {"row": [name, figures]}
        case RunEnded(name, result):
            content = {"ended": [name, dataclasses.asdict(result) | {"dir": str(result.dir)}]}
        case Message(text):
            content = {"message": text}
    return (json.dumps(content) + "\n").encode()


def decoded(line: bytes, names: Container[str]) -> RunRow | RunEnded | Message | None:
    """The event in a line from a worker that trains the runs `names`; None if the line holds no event."""
    try:
        content = json.loads(line, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return None
    if type(content) is not dict or len(content) != 1:
        return None
    [(kind, about)] = content.items()
    if kind == "message":
        return Message(about) if type(about) is str else None
    if type(about) is not list or len(about) != 2:
        return None
    name, fields = about
    if type(name) is not str or name not in names or type(fields) is not dict:
        return None
    if kind == "row":
        return _row(name, fields)
    return _ended(name, fields) if kind == "ended" else None


def _row(name: str, row: dict[str, Any]) -> RunRow | None:
    if type(row.get("env_steps")) is not int or row["env_steps"] < 0:
        return None
    return RunRow(name, {key: value for key, value in row.items() if type(value) in (int, float)})


def _ended(name: str, fields: dict[str, Any]) -> RunEnded | None:
    from rlcli.runs.result import Result

    if fields.keys() != RESULT.keys() or fields["status"] not in STATUSES:
        return None
    if not all(type(fields[field]) in types for field, types in RESULT.items()):
        return None
    return RunEnded(name, Result(**fields | {"dir": Path(fields["dir"])}))


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is not a number in JSON")


class Sender:
    """The worker's end of the pipe, which children of the worker do not inherit."""

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)
        self._descriptor = descriptor
        self._process = os.getpid()

    def send(self, event: RunRow | RunEnded | Message) -> None:
        """Writes an event; does nothing once the reader is gone, or in a fork of the worker."""
        if os.getpid() != self._process:
            return
        rest = encoded(event)
        with contextlib.suppress(OSError):
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]


class LineBuffer:
    """Splits bytes into lines. A line keeps its first `longest` bytes; the rest is dropped as it comes."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._line = bytearray()
        self._whole = True

    def add(self, data: bytes) -> Iterator[tuple[bytes, bool]]:
        """The lines that end within `data`, and whether each is whole."""
        *ended, begun = data.split(b"\n")
        for piece in ended:
            self._append(piece)
            yield self._pop()
        self._append(begun)

    def rest(self) -> Iterator[tuple[bytes, bool]]:
        """The last line if it has no end: no more data will come."""
        if self._line:
            yield self._pop()

    def _append(self, piece: bytes) -> None:
        room = self._longest - len(self._line)
        self._line += piece[:room]
        self._whole = self._whole and len(piece) <= room

    def _pop(self) -> tuple[bytes, bool]:
        popped = bytes(self._line), self._whole
        self._line.clear()
        self._whole = True
        return popped


def printed(line: bytes, whole: bool) -> Message:
    """A printed line as a message that is safe to show, whatever its bytes are."""
    text = visible(line.rstrip(b"\r").decode("utf-8", "backslashreplace"))
    return Message(text if whole else f"{text} ...")
