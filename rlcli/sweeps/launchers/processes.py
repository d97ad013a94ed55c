"""Cohorts in worker processes, as many side by side as asked for."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rlcli.runs.stop import CODES, STOPPING, stop_on_signals

Event = tuple[str, Any]
"""row, say or result, and what the worker told; begun or ended, with its jobs, then its exit code too (None
where it was told to end).
"""
NUMBERS: Mapping[int | None, signal.Signals] = {code: number for number, code in CODES.items()}


class _Worker(NamedTuple):
    process: subprocess.Popen[str]
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
    waiting, running = list(units), dict[int, _Worker]()
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
                worker = _start(directory, waiting.pop(0), events)
                running[worker.process.pid] = worker
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


def _start(directory: Path, names: Sequence[str], events: queue.Queue[Event]) -> _Worker:
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "rlcli.sweeps.worker", str(directory)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # What this process can import, for environments' modules are found there.
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        # A group of its own: what is typed at the terminal reaches it once, passed on.
        start_new_session=True,
    )  # fmt: skip
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(json.dumps(list(names)) + "\n")
        process.stdin.flush()
    said = threading.Thread(target=_pass_messages, args=(process, events), daemon=True)
    said.start()
    threading.Thread(target=_listen, args=(process, said, events), daemon=True).start()
    return _Worker(process, names)


def _listen(process: subprocess.Popen[str], said: threading.Thread, events: queue.Queue[Event]) -> None:
    assert process.stdout is not None
    with process.stdout as lines:
        for line in lines:
            with contextlib.suppress(ValueError):
                events.put(next(iter(json.loads(line).items())))
    said.join()
    events.put(("ended", process.pid))


def _pass_messages(process: subprocess.Popen[str], events: queue.Queue[Event]) -> None:
    assert process.stderr is not None
    with process.stderr as lines:
        for line in lines:
            events.put(("say", line.rstrip("\n")))


def _end(process: subprocess.Popen[str]) -> int:
    """Waits for the end of a worker, which the end of its stdin tells it to come to. Its exit code."""
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
    return process.wait()
