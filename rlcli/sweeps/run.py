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
    from rlcli.store.start_file import Beginning


def root_of(job: Composed) -> Path:
    """The folder of the job's run directory: its runs_dir when one was given, else RLCLI_RUNS or ./runs."""
    from rlcli.store.directory import runs_root

    return runs_root(None if job.provenance["runs_dir"] == "default" else job.config.runs_dir)


def run_one(
    job: Composed,
    *,
    quiet: bool = False,
    callback: RowCallback | None = None,
    beginning: Beginning | None = None,
) -> Result:
    """Train one run in a new directory; `callback` is called with each of its rows.

    `beginning` is what it begins from, if it is a fork.
    """
    from rlcli.runs.train import Verdict, train
    from rlcli.store.directory import new_run_dir
    from rlcli.store.start_file import FILE as START
    from rlcli.store.start_file import write_beginning
    from rlcli.store.unstarted import is_unstarted

    def on_row(_: int, __: Row) -> Verdict:
        if callback is not None:
            callback.fail_run()
        return Verdict.CONTINUE

    def should_stop(_: int, row: Row) -> str | None:
        return None if callback is None else callback.stop_reason(row)

    directory = new_run_dir(job.config, root_of(job))
    try:
        if beginning is not None:
            write_beginning(directory, beginning)
        [result] = train(
            [job.config], [directory], overrides=[job.overrides], on_row=on_row, should_stop=should_stop,
            quiet=quiet,
        )  # fmt: skip
    except RlcliError:
        with contextlib.suppress(OSError):  # it could not start: leave no empty directory
            if beginning is not None and is_unstarted(directory):
                (directory / START).unlink(missing_ok=True)
            directory.rmdir()
        raise
    return result
