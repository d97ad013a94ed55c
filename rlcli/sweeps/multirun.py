"""Training of a sweep's jobs, from a command or from the directory of an earlier sweep."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rlcli.config.command import Command
from rlcli.config.compose import Composed
from rlcli.config.extensions import VARIABLE
from rlcli.config.launchers import HERE, Launching
from rlcli.extend.importing import complete
from rlcli.store.admission import admit
from rlcli.store.directory import new_sweep_dir
from rlcli.store.layout import check_sweep
from rlcli.store.lock import Lock
from rlcli.store.start_file import Beginning
from rlcli.sweeps.launchers.table import opened
from rlcli.sweeps.names import job_names, jobs_are_named
from rlcli.sweeps.preflight import check, checks
from rlcli.sweeps.run import root_of
from rlcli.sweeps.sweep import OVER, Job, Sweep
from rlcli.sweeps.training import Training


def run_sweep(
    composed: Sequence[Composed],
    command: Command,
    *,
    quiet: bool = False,
    beginnings: Sequence[Beginning] = (),
) -> Sweep:
    """Train the checked jobs of a command, each in its own directory, by the launcher it chooses.

    `beginnings` are what each begins from, if they are forks.

    A failed job does not stop the others; a signal stops them all.

    Raises:
        UserError: `name=` gives two jobs one name; nothing was written.
    """
    names = job_names(composed)
    with opened(command.launching) as launcher:
        directory = new_sweep_dir(
            composed[0].config, root_of(composed[0]), jobs_named=jobs_are_named(composed)
        )
        with locked(directory):
            sweep = Sweep.begin(directory, command.typed, names, composed, beginnings)
            with Training(sweep, sweep.jobs, quiet, launcher) as training:
                training.train(sweep.jobs)
    return sweep


def resume_sweep(
    directory: Path,
    *,
    launching: Launching = HERE,
    imports: Sequence[str] = (),
    retry: bool = False,
    quiet: bool = False,
) -> Sweep:
    """Train the jobs of an earlier sweep that have not started or were interrupted.

    With `retry` those that failed too. Finished jobs stay as they are. `launching` is the launcher; it is not
    read from the directory, since a launcher's settings may hold commands. `imports` are modules that
    the environments may come from.

    Raises:
        UserError: the directory names modules that are not in `imports`, its jobs cannot be trained here, or
            another process trains them.
        StorageError: the sweep or a config of it is damaged.
    """
    with locked(directory):
        sweep = Sweep.read(directory)
        left = left_over(sweep, retry, imports, launching)
        allow_imports(imports)
        with (
            opened(launching if left else HERE) as launcher,
            Training(sweep, left, quiet, launcher) as training,
        ):
            training.train(left)
    return sweep


def left_over(sweep: Sweep, retry: bool, imports: Sequence[str], launching: Launching) -> list[Job]:
    """The unfinished jobs of an earlier sweep, with `retry` those that failed too, all checked.

    Raises:
        UserError: one cannot be trained here, or a process still trains it.
        StorageError: its config is damaged.
    """
    over = [status for status in OVER if not (retry and status == "failed")]
    left = [job for job in sweep.jobs if job.status not in over]
    own: dict[str, None] = {}
    for job in left:
        Lock(sweep.dir / job.name).release()  # a worker of a killed sweep may still train it
        config = sweep.config(job)
        own |= dict.fromkeys(admit(config, sweep.dir / job.name, imports))
        check(complete(config), checks(elsewhere=launching.elsewhere))
    allow_imports(list(own))
    return left


def allow_imports(imports: Sequence[str]) -> None:
    """Allow modules to be imported in worker processes too."""
    if imports:
        os.environ[VARIABLE] = ",".join([*imports, os.environ.get(VARIABLE, "")])


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold the lock of a sweep's directory."""
    lock = Lock(directory)
    try:
        check_sweep(directory)
        yield
    finally:
        lock.release()
