"""Training of one run, from its configuration to its result."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from rlcli.config.compose import Composed
from rlcli.errors import RlcliError

if TYPE_CHECKING:
    from rlcli.backends.session import Row
    from rlcli.runs.callback import RowCallback
    from rlcli.runs.result import Result


def root_of(job: Composed) -> Path:
    """The folder of the job's run directory: its runs_dir when one was given, else RLCLI_RUNS or ./runs."""
    from rlcli.store.directory import runs_root

    return runs_root(None if job.provenance["runs_dir"] == "default" else job.config.runs_dir)


def run_one(job: Composed, *, quiet: bool = False, callback: RowCallback | None = None) -> Result:
    """Train one run in a new directory; `callback` is called with each of its rows."""
    from rlcli.runs.train import Verdict, train
    from rlcli.store.directory import new_run_dir

    def on_row(_: int, __: Row) -> Verdict:
        if callback is not None:
            callback.raise_error()
        return Verdict.CONTINUE

    def should_stop(_: int, row: Row) -> str | None:
        return None if callback is None else callback.stop_reason(row)

    directory = new_run_dir(job.config, root_of(job))
    try:
        [result] = train(
            [job.config], [directory], overrides=[job.overrides], on_row=on_row, should_stop=should_stop,
            quiet=quiet,
        )  # fmt: skip
    except RlcliError:
        with contextlib.suppress(OSError):  # it could not start: leave no empty directory
            directory.rmdir()
        raise
    return result
