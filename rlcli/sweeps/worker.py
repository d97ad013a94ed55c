"""A process that trains one cohort of a sweep: `python -m rlcli.sweeps.worker SWEEP_DIR DESCRIPTOR`.

On stdin comes one line, a JSON list of the names of the jobs; then nothing, for as long as whoever started it
lives. When stdin ends first, the cohort stops as if by SIGTERM: no worker outlives its sweep. What becomes of
the jobs is told on the descriptor (`launchers/protocol.py`); stdout and stderr are for whatever prints.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from rlcli.errors import EXIT_CRASH, EXIT_DONE, EXIT_SIGTERM
from rlcli.runs.stop import CODES
from rlcli.streams import STDERR, STDIN, prints_to_stderr
from rlcli.sweeps.events import Sender

EVERY = 0.25
"""Least seconds between two rows told of one job."""
GRACE = 10.0
"""Seconds that threads and children which an environment left behind may delay the end."""


def main() -> None:
    """Trains the cohort."""
    for number, code in CODES.items():  # until training listens, there is nothing to bring to an end
        signal.signal(number, lambda *_, code=code: os._exit(code))
    directory, sender = Path(sys.argv[1]), Sender(int(sys.argv[2]))
    lifeline = _own_stdin()
    prints_to_stderr()
    names = _names(lifeline)
    threading.Thread(target=_stop_with_parent, args=(lifeline,), daemon=True).start()
    code = EXIT_CRASH
    try:
        _train(directory, names, sender)
        code = EXIT_DONE
    finally:
        # Python waits for what is left of threads and of multiprocessing; this thread does not.
        last = threading.Timer(GRACE, os._exit, (code,))
        last.daemon = True
        last.start()


def _train(directory: Path, names: list[str], sender: Sender) -> None:
    from rlcli.runs.train import Result, Verdict
    from rlcli.sweeps.unit import train_unit

    due: dict[str, float] = {}

    def row(name: str, row: Any) -> Verdict:
        now = time.monotonic()
        if now >= due.get(name, 0.0):
            due[name] = now + EVERY
            figures = {key: value for key, value in row.items() if not isinstance(value, list)}
            sender.send("row", [name, figures])
        return Verdict.CONTINUE

    def ended(name: str, result: Result) -> None:
        sender.send("result", [name, dataclasses.asdict(result) | {"dir": str(result.dir)}])

    train_unit(directory, names, on_row=row, on_end=ended, tell=lambda text: sender.send("say", text))


def _own_stdin() -> int:
    """Stdin under another number, which children do not inherit; whoever reads stdin finds it at its end."""
    own = fcntl.fcntl(STDIN, fcntl.F_DUPFD_CLOEXEC, STDERR + 1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, STDIN)
    os.close(null)
    return own


def _names(lifeline: int) -> list[str]:
    line = b""
    while not line.endswith(b"\n"):
        piece = os.read(lifeline, 2**16)
        if not piece:
            sys.exit(EXIT_SIGTERM)  # whoever started this is gone
        line += piece
    names: list[str] = json.loads(line)
    return names


def _stop_with_parent(lifeline: int) -> None:
    """Waits for the end of stdin."""
    while os.read(lifeline, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
