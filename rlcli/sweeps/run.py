"""Training of one run, from its configuration to its result."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from rlcli.config.compose import Composed
from rlcli.errors import RlcliError

if TYPE_CHECKING:
    from rlcli.runs.result import Result
    from rlcli.runs.train import ShouldStop


def root_of(job: Composed) -> Path:
    """The folder of the job's run directory: its runs_dir when one was given, else RLCLI_RUNS or ./runs."""
    from rlcli.store.directory import runs_root

    return runs_root(None if job.provenance["runs_dir"] == "default" else job.config.runs_dir)


def run_one(job: Composed, *, quiet: bool = False, should_stop: ShouldStop = lambda run, row: None) -> Result:
    """Train one run in a new directory; `should_stop` is called after each update, see `runs.train`."""
    from rlcli.runs.train import train
    from rlcli.store.directory import new_run_dir

    directory = new_run_dir(job.config, root_of(job))
    try:
        return train(
            [job.config], [directory], overrides=[job.overrides], should_stop=should_stop, quiet=quiet
        )[0]
    except RlcliError:
        with contextlib.suppress(OSError):  # it could not start: leave no empty directory
            directory.rmdir()
        raise
