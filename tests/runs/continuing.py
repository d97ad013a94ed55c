"""Goes on from saved checkpoints, in this process or, as `python -m tests.runs.continuing`, in a new one."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from rlcli.backends.native import NativeSession
from rlcli.backends.session import Checkpoint, Failure
from rlcli.config.schema.run import RunConfig
from rlcli.store.checkpoints import Checkpoints
from rlcli.store.config_file import read_config

States = dict[str, Tensor]
Rows = list[dict[str, Any]]


def play(
    configs: Sequence[RunConfig], checkpoints: Sequence[Checkpoint] | None, updates: int
) -> tuple[list[Checkpoint], list[Rows]]:
    """Each run's state and rows, `time/` aside, after that many more updates together."""
    session = NativeSession(configs, checkpoints)
    rows: list[Rows] = [[] for _ in configs]
    try:
        for _ in range(updates):
            for run, row in session.update().items():
                assert not isinstance(row, Failure), row.error
                rows[run].append({name: value for name, value in row.items() if not name.startswith("time/")})
        return [session.state(run) for run in range(len(configs))], rows
    finally:
        session.close()


def main(updates: int, folders: Sequence[str]) -> None:
    """Continues the last checkpoint in each folder, saves where it came to, prints the rows as JSON."""
    rows = []
    for folder in map(Path, folders):
        config, checkpoints = read_config(folder), Checkpoints(folder)
        [after], [row] = play([config], [checkpoints.load()], updates)
        checkpoints.save(after, after.update * config.batch_size)
        rows.append(row)
    print(json.dumps(rows))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
