"""What a worker process tells its sweep: JSON lines on a descriptor that nothing else writes to.

    {"row": [name, row]}        figures of a job's last update
    {"say": text}
    {"result": [name, result]}  a job has come to its end; the fields of its `Result`

They are read strictly: whatever is not such a line is passed over. What the worker, its environments and
their children print goes to standard output and standard error, which are messages and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Container, Iterator, Mapping
from types import NoneType
from typing import Any

from rlcli.text import visible

LONGEST_EVENT = 2**20
"""Bytes of a line that is read; real ones have a few thousand."""
LONGEST_MESSAGE = 1000
"""Bytes of a printed line that are shown."""
STATUSES = ("finished", "failed", "interrupted", "pruned")
RESULT: Mapping[str, tuple[type, ...]] = {
    "dir": (str,), "id": (str,), "status": (str,), "env_steps": (int,), "updates": (int,),
    "eval_return_mean": (float, int, NoneType), "exit_code": (int,), "message": (str, NoneType),
}  # fmt: skip
"""The fields of a `Result`, and the types they have in JSON."""

Event = tuple[str, Any]


class Sender:
    """The worker's end, which children of the worker do not inherit."""

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)
        self._descriptor = descriptor
        self._process = os.getpid()

    def send(self, kind: str, content: Any) -> None:
        """Sends one line; nothing where nobody listens any more, or from a fork of the worker."""
        if os.getpid() != self._process:
            return
        rest = (json.dumps({kind: content}) + "\n").encode()
        with contextlib.suppress(OSError):
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]


class Lines:
    """Cuts bytes into lines. A line keeps its first `longest` bytes, the rest is dropped as it comes."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._line = bytearray()
        self._whole = True

    def add(self, data: bytes) -> Iterator[tuple[bytes, bool]]:
        """The lines that end within `data`, and whether each is whole."""
        *ended, begun = data.split(b"\n")
        for piece in ended:
            self._keep(piece)
            yield self._taken()
        self._keep(begun)

    def rest(self) -> Iterator[tuple[bytes, bool]]:
        """The line that was begun, if there is one: no more will come."""
        if self._line:
            yield self._taken()

    def _keep(self, piece: bytes) -> None:
        room = self._longest - len(self._line)
        self._line += piece[:room]
        self._whole = self._whole and len(piece) <= room

    def _taken(self) -> tuple[bytes, bool]:
        taken = bytes(self._line), self._whole
        self._line.clear()
        self._whole = True
        return taken


def message(line: bytes, whole: bool) -> str:
    """A printed line as text that can be shown, whatever its bytes are."""
    text = visible(line.rstrip(b"\r").decode("utf-8", "backslashreplace"))
    return text if whole else f"{text} ..."


def event(line: bytes, names: Container[str]) -> Event | None:
    """The event that a worker with the jobs `names` told in a line; None where it is no such line."""
    try:
        content = json.loads(line, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return None
    if type(content) is not dict or len(content) != 1:
        return None
    [(kind, told)] = content.items()
    if kind == "say":
        return (kind, told) if type(told) is str else None
    if kind not in _OF_JOBS or type(told) is not list or len(told) != 2:
        return None
    name, about = told
    if type(name) is not str or name not in names or type(about) is not dict:
        return None
    read = _OF_JOBS[kind](about)
    return None if read is None else (kind, (name, read))


def _row(row: dict[str, Any]) -> dict[str, Any] | None:
    if type(row.get("env_steps")) is not int or row["env_steps"] < 0:
        return None
    return {name: value for name, value in row.items() if type(value) in (int, float)}


def _result(about: dict[str, Any]) -> dict[str, Any] | None:
    if about.keys() != RESULT.keys() or about["status"] not in STATUSES:
        return None
    return about if all(type(about[name]) in types for name, types in RESULT.items()) else None


_OF_JOBS: Mapping[str, Callable[[dict[str, Any]], dict[str, Any] | None]] = {"row": _row, "result": _result}


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number of JSON")
