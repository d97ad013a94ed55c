"""A process that trains one cohort of a sweep: `python -m rlcli.sweeps.worker SWEEP_DIR`.

On stdin comes one line, a JSON list of the names of the jobs; then nothing, for as long as whoever started it
lives. When stdin ends first, the cohort stops as if by SIGTERM: no worker outlives its sweep. On stdout go
JSON lines: {"row": [name, row]} as often as somebody may want to look, {"say": text}, and
{"result": [name, result]} for each job as it ends.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from rlcli.runs.stop import CODES

EVERY = 0.25
"""Least seconds between two rows told of one job."""


def main() -> None:
    """Trains the cohort."""
    for number, code in CODES.items():  # until training listens, there is nothing to bring to an end
        signal.signal(number, lambda *_, code=code: os._exit(code))
    directory, names = Path(sys.argv[1]), json.loads(sys.stdin.readline())
    # stdout is for the lines alone: whatever else prints goes where messages go.
    told, sys.stdout = sys.stdout, sys.stderr
    threading.Thread(target=_stop_with_parent, daemon=True).start()

    from rlcli.runs.train import Verdict
    from rlcli.sweeps.sweep import Sweep
    from rlcli.sweeps.work import Jobs, work

    due: dict[str, float] = {}

    def tell(**content: Any) -> None:
        with contextlib.suppress(OSError):  # nobody listens any more: stdin ends too, and that stops us
            told.write(json.dumps(content) + "\n")
            told.flush()

    def row(name: str, row: Any) -> Verdict:
        now = time.monotonic()
        if now >= due.get(name, 0.0):
            due[name] = now + EVERY
            tell(row=[name, {key: value for key, value in row.items() if not isinstance(value, list)}])
        return Verdict.CONTINUE

    sweep = Sweep.read(directory)
    jobs = {job.name: job for job in sweep.jobs}
    work(
        Jobs(
            directory,
            names,
            [sweep.config(jobs[name]) for name in names],
            [jobs[name].overrides for name in names],
            [jobs[name].trial for name in names],
        ),
        on_row=row,
        on_end=lambda name, result: tell(
            result=[name, dataclasses.asdict(result) | {"dir": str(result.dir)}]
        ),
        tell=lambda text: tell(say=text),
    )


def _stop_with_parent() -> None:
    """Waits for the end of stdin."""
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
