"""Process pool: trains each cohort in a worker process of its own (`worker.py`), several side by side."""

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
from typing import NamedTuple

from rlcli.runs.reference import Reference, sweep_reference
from rlcli.runs.stop import CODES, quitting, stop_on_signals
from rlcli.streams import STDERR, say_at_once, show_cursor
from rlcli.sweeps.cohorts import Machine
from rlcli.sweeps.events import (
    LONGEST_EVENT,
    LONGEST_MESSAGE,
    CohortEnded,
    Event,
    LineBuffer,
    Message,
    OnEvent,
    RunEnded,
    RunsStarted,
    Stopping,
    decoded,
    printed,
)
from rlcli.sweeps.launchers.launcher import Cohort
from rlcli.sweeps.reference import reference
from rlcli.sweeps.sweep import Sweep

CHUNK = 2**16
POLL = 0.1
"""Seconds between two checks whether a worker has ended whose pipes are still open."""
MAX_AFTER_END = 2**20
"""Bytes read after the end of a worker: more than its pipes hold, however much its children still write."""
MAX_QUEUED = 200
"""Queued events from which on printed lines are left out."""
NUMBERS: Mapping[int | None, signal.Signals] = {code: number for number, code in CODES.items()}


class ProcessPool:
    """Worker processes of this machine."""

    place = ""

    def machine(self, here: Machine) -> Machine:
        """See `Launcher`."""
        return here

    def train(self, sweep: Sweep, cohorts: Sequence[Cohort], count: int, on_event: OnEvent) -> int | None:
        """See `Launcher`."""
        return train_in_processes(sweep.dir, cohorts, count, on_event, reference(sweep))

    def close(self) -> None:
        """See `Launcher`."""


class _Worker(NamedTuple):
    process: subprocess.Popen[bytes]
    names: Sequence[str]


class _WorkerEnded(NamedTuple):
    number: int


Queue = queue.SimpleQueue[Event | _WorkerEnded]


def train_in_processes(
    directory: Path,
    cohorts: Sequence[Cohort],
    count: int,
    on_event: OnEvent,
    named: Reference | None = None,
) -> int | None:
    """Trains each cohort of the sweep in `directory` in a process of its own; see `Launcher.train`.

    `named`: the sweep on the command line, its folder by default.
    """
    again = named or sweep_reference(directory)
    waiting, running, numbers = list(cohorts), dict[int, _Worker](), itertools.count()
    events: Queue = queue.SimpleQueue()  # its put may be called in a signal handler

    def pass_on(code: int | None) -> None:
        for worker in list(running.values()):
            with contextlib.suppress(OSError):
                worker.process.send_signal(NUMBERS[code])

    def announce() -> None:
        pass_on(stop.exit_code)
        events.put(Stopping())

    def at_once(code: int) -> None:
        pass_on(code)
        show_cursor()
        say_at_once(quitting(again))

    with contextlib.ExitStack() as left, stop_on_signals(announce, at_once) as stop:
        left.callback(lambda: [_end(worker.process) for worker in running.values()])
        while running or (waiting and not stop):
            while waiting and len(running) < count and not stop:
                number = next(numbers)
                running[number] = worker = _start(directory, number, waiting.pop(0), events)
                on_event(RunsStarted(tuple(worker.names)))
            try:
                event = events.get(timeout=0.5)
            except queue.Empty:
                continue
            if isinstance(event, _WorkerEnded):
                worker = running.pop(event.number)
                code = _end(worker.process)
                on_event(CohortEnded(tuple(worker.names), None if stop else code))
            else:
                on_event(event)
        return stop.exit_code


def _start(directory: Path, number: int, names: Sequence[str], events: Queue) -> _Worker:
    reader, writer = _pipe()
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "rlcli.sweeps.worker", str(directory), str(writer)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            pass_fds=(writer,),
            # The worker finds the modules of environments where this process finds them.
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            # A session of its own: Ctrl-C of the terminal reaches the worker once, passed on by this process.
            start_new_session=True,
        )  # fmt: skip
    except BaseException:
        os.close(reader)
        raise
    finally:
        os.close(writer)
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(json.dumps(list(names)).encode() + b"\n")
        process.stdin.flush()
    listener = _Listener(process, reader, names, events)
    threading.Thread(target=listener.listen, args=(number,), daemon=True).start()
    return _Worker(process, names)


def _pipe() -> tuple[int, int]:
    """A pipe whose writing end has a number above those of the standard streams."""
    reader, low = os.pipe()
    try:
        return reader, fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, STDERR + 1)
    finally:
        os.close(low)


class _Listener:
    """Turns what a worker sends and prints into events, until its process has ended.

    It does not wait for the end of the pipes: a child of the worker may hold them open as long as it likes.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        reader: int,
        names: Sequence[str],
        events: Queue,
    ) -> None:
        self._process, self._reader, self._events = process, reader, events
        self._left = set(names)
        """Jobs that have not ended."""
        self._lines, self._printed = LineBuffer(LONGEST_EVENT), LineBuffer(LONGEST_MESSAGE)
        self._dropped = 0

    def listen(self, number: int) -> None:
        """Reads until the worker has ended; then, whatever happened, queues its end."""
        assert self._process.stdout is not None
        try:
            with self._process.stdout as output:
                self._until_the_end({self._reader: self._receive, output.fileno(): self._print})
            self._show(self._printed.rest())
            self._report_dropped()
        finally:
            os.close(self._reader)
            self._process.wait()
            self._events.put(_WorkerEnded(number))

    def _until_the_end(self, take: Mapping[int, Callable[[bytes], None]]) -> None:
        ended, left = False, MAX_AFTER_END
        with selectors.DefaultSelector() as pipes:
            for pipe in take:
                os.set_blocking(pipe, False)
                pipes.register(pipe, selectors.EVENT_READ)
            while pipes.get_map() and left > 0:
                ready = pipes.select(0.0 if ended else POLL)
                for key, _ in ready:
                    data = os.read(key.fd, CHUNK)
                    if not data:
                        pipes.unregister(key.fd)
                    take[key.fd](data)
                    left -= len(data) if ended else 0
                if ended and not ready:
                    return
                # What it wrote before it ended is in the pipes by now: one more read gets all of it.
                ended = ended or self._process.poll() is not None

    def _receive(self, data: bytes) -> None:
        for line, whole in self._lines.add(data):
            event = decoded(line, self._left) if whole else None
            if event is None:
                continue
            if isinstance(event, RunEnded):
                self._left.discard(event.name)
            self._events.put(event)

    def _print(self, data: bytes) -> None:
        self._show(self._printed.add(data))

    def _show(self, lines: Iterable[tuple[bytes, bool]]) -> None:
        for line, whole in lines:
            if self._events.qsize() < MAX_QUEUED:
                self._report_dropped()
                self._events.put(printed(line, whole))
            else:
                self._dropped += 1

    def _report_dropped(self) -> None:
        if self._dropped:
            text = f"({self._dropped:,} more lines that a worker printed are left out)"
            self._events.put(Message(text))
            self._dropped = 0


def _end(process: subprocess.Popen[bytes]) -> int:
    """Closes a worker's stdin, which asks it to end, and waits. Returns its exit code."""
    assert process.stdin is not None
    with contextlib.suppress(OSError):
        process.stdin.close()
    return process.wait()
