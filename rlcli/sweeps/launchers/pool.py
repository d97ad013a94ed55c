"""Cohorts in worker processes, as many side by side as asked for."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import os
import queue
import selectors
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rlcli.runs.stop import CODES, STOPPING, stop_on_signals
from rlcli.streams import STDERR
from rlcli.sweeps.events import (
    LONGEST_EVENT,
    LONGEST_MESSAGE,
    Event,
    Lines,
    event,
    message,
)

CHUNK = 2**16
LOOK = 0.1
"""Seconds between two looks whether a worker has ended whose pipes are still open."""
MOST_AFTER = 2**20
"""Bytes read after the end of a worker: more than its pipes hold, however much its children still write."""
MOST_WAITING = 200
"""Events that wait to be told, from which on printed lines are left out."""
NUMBERS: Mapping[int | None, signal.Signals] = {code: number for number, code in CODES.items()}


class _Worker(NamedTuple):
    process: subprocess.Popen[bytes]
    names: Sequence[str]


def in_processes(
    directory: Path,
    units: Sequence[Sequence[str]],
    count: int,
    hear: Callable[[str, Any], None],
) -> int | None:
    """Trains every unit, the names of the jobs of a cohort, in a process of its own, `count` at a time.

    `hear` is told of every event, in this thread. Ctrl-C and SIGTERM are passed on: each worker ends the
    update in progress and saves. A second one ends all at once. The exit code of such a signal, else None.
    """
    waiting, running, numbers = list(units), dict[int, _Worker](), itertools.count()
    events: queue.Queue[Event] = queue.Queue()

    def pass_on(code: int | None) -> None:
        for worker in list(running.values()):
            with contextlib.suppress(OSError):
                worker.process.send_signal(NUMBERS[code])

    def announce() -> None:
        pass_on(stop.exit_code)
        events.put(("say", STOPPING))

    with contextlib.ExitStack() as left, stop_on_signals(announce, pass_on) as stop:
        left.callback(lambda: [_end(worker.process) for worker in running.values()])
        while running or (waiting and not stop):
            while waiting and len(running) < count and not stop:
                number = next(numbers)
                running[number] = worker = _start(directory, number, waiting.pop(0), events)
                hear("begun", worker.names)
            try:
                kind, content = events.get(timeout=0.5)
            except queue.Empty:
                continue
            if kind == "ended":
                worker = running.pop(content)
                code = _end(worker.process)
                hear("ended", (worker.names, None if stop else code))
            else:
                hear(kind, content)
        return stop.exit_code


def _start(directory: Path, number: int, names: Sequence[str], events: queue.Queue[Event]) -> _Worker:
    told, telling = _pipe()
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "rlcli.sweeps.worker", str(directory), str(telling)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            pass_fds=(telling,),
            # What this process can import, for environments' modules are found there.
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            # A group of its own: what is typed at the terminal reaches it once, passed on.
            start_new_session=True,
        )  # fmt: skip
    except BaseException:
        os.close(told)
        raise
    finally:
        os.close(telling)
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(json.dumps(list(names)).encode() + b"\n")
        process.stdin.flush()
    listener = _Listener(process, told, names, events)
    threading.Thread(target=listener.listen, args=(number,), daemon=True).start()
    return _Worker(process, names)


def _pipe() -> tuple[int, int]:
    """A pipe whose end for a worker has a number that is no standard stream's."""
    told, low = os.pipe()
    try:
        return told, fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, STDERR + 1)
    finally:
        os.close(low)


class _Listener:
    """Turns what a worker tells and prints into events, until its process has ended.

    Not until its pipes have: a child of the worker may hold them open for as long as it likes.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        told: int,
        names: Sequence[str],
        events: queue.Queue[Event],
    ) -> None:
        self._process, self._told, self._events = process, told, events
        self._left = set(names)
        """Jobs whose end was not told."""
        self._lines, self._printed = Lines(LONGEST_EVENT), Lines(LONGEST_MESSAGE)
        self._dropped = 0

    def listen(self, number: int) -> None:
        """Listens, then tells that the worker of that number has ended, whatever happens."""
        assert self._process.stdout is not None
        try:
            with self._process.stdout as printed:
                self._until_the_end({self._told: self._tell, printed.fileno(): self._print})
            self._say(self._printed.rest())
            self._tell_dropped()
        finally:
            os.close(self._told)
            self._process.wait()
            self._events.put(("ended", number))

    def _until_the_end(self, take: Mapping[int, Callable[[bytes], None]]) -> None:
        ended, left = False, MOST_AFTER
        with selectors.DefaultSelector() as pipes:
            for pipe in take:
                os.set_blocking(pipe, False)
                pipes.register(pipe, selectors.EVENT_READ)
            while pipes.get_map() and left > 0:
                ready = pipes.select(0.0 if ended else LOOK)
                for key, _ in ready:
                    data = os.read(key.fd, CHUNK)
                    if not data:
                        pipes.unregister(key.fd)
                    take[key.fd](data)
                    left -= len(data) if ended else 0
                if ended and not ready:
                    return
                # What it wrote before it ended is in the pipes by now: one more look gets all of it.
                ended = ended or self._process.poll() is not None

    def _tell(self, data: bytes) -> None:
        for line, whole in self._lines.add(data):
            found = event(line, self._left) if whole else None
            if found is None:
                continue
            if found[0] == "result":
                self._left.discard(found[1][0])
            self._events.put(found)

    def _print(self, data: bytes) -> None:
        self._say(self._printed.add(data))

    def _say(self, lines: Iterable[tuple[bytes, bool]]) -> None:
        for line, whole in lines:
            if self._events.qsize() < MOST_WAITING:
                self._tell_dropped()
                self._events.put(("say", message(line, whole)))
            else:
                self._dropped += 1

    def _tell_dropped(self) -> None:
        if self._dropped:
            self._events.put(("say", f"({self._dropped:,} more lines that a worker printed are left out)"))
            self._dropped = 0


def _end(process: subprocess.Popen[bytes]) -> int:
    """Waits for the end of a worker, which the end of its stdin tells it to come to. Its exit code."""
    assert process.stdin is not None
    with contextlib.suppress(OSError):
        process.stdin.close()
    return process.wait()
