"""A sweep from its composed jobs, or from its directory, to its end."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rlcli.config.compose import Composed, hydra_settings, launcher_of
from rlcli.config.launchers import HERE, Launching
from rlcli.store.admission import VARIABLE, admit
from rlcli.store.directory import new_sweep_dir
from rlcli.store.layout import check_sweep
from rlcli.store.lock import Lock
from rlcli.sweeps.launchers.table import opened
from rlcli.sweeps.names import job_names, jobs_are_named
from rlcli.sweeps.preflight import check, checks
from rlcli.sweeps.run import root_of
from rlcli.sweeps.sweep import OVER, Job, Sweep
from rlcli.sweeps.training import Training


def run_sweep(
    composed: Sequence[Composed],
    typed: Sequence[str],
    *,
    config_dir: str | None = None,
    quiet: bool = False,
) -> Sweep:
    """Runs checked jobs, each in its own directory, as Hydra's launcher has it; `typed` is whence they come.

    A failed job does not stop the others; a signal stops them all.

    Raises:
        UserError: jobs cannot be named as `name=` says; nothing was made.
    """
    names = job_names(composed)
    settings = hydra_settings(typed, multirun=True, config_dir=config_dir)
    with opened(launcher_of(typed, config_dir=config_dir)) as launcher:
        directory = new_sweep_dir(
            composed[0].config, root_of(composed[0]), jobs_named=jobs_are_named(composed)
        )
        with alone(directory):
            sweep = Sweep.begin(directory, typed, names, composed)
            with Training(sweep, sweep.jobs, quiet, launcher) as training:
                batches = iter([[list(job.overrides) for job in sweep.jobs]])
                through_hydra(settings, config_dir, training, lambda: next(batches, []))
    return sweep


def through_hydra(
    settings: Sequence[str], config_dir: str | None, training: Training, ask: Callable[[], list[list[str]]]
) -> None:
    """Trains the jobs whose overrides `ask` gives, batch by batch, by the launcher chosen."""
    from rlcli.config.hydra_multirun import multirun

    sweep = training.sweep

    def launch(numbers: Sequence[int]) -> None:
        training.train([sweep.jobs[number] for number in numbers])

    multirun(settings, config_dir, sweep.dir, ask, launch)


def resume_sweep(
    directory: Path,
    *,
    launching: Launching = HERE,
    imports: Sequence[str] = (),
    retry: bool = False,
    quiet: bool = False,
) -> Sweep:
    """Brings the jobs of an earlier sweep to their end: those never begun and those that were cut.

    With `retry` those that failed too. What is finished stays as it is. `launching` says who trains them; the
    directory is not asked for that, since a launcher's settings may hold commands. `imports` are modules that
    the environments may come from.

    Raises:
        UserError: the directory names modules that nobody vouches for, its jobs cannot be trained here, or
            another process is at it.
        StorageError: the sweep or a config of it is damaged.
    """
    with alone(directory):
        sweep = Sweep.read(directory)
        left = left_over(sweep, retry, imports, launching)
        vouch(imports)
        with (
            opened(launching if left else None) as launcher,
            Training(sweep, left, quiet, launcher) as training,
        ):
            training.train(left)
    return sweep


def left_over(sweep: Sweep, retry: bool, imports: Sequence[str], launching: Launching) -> list[Job]:
    """The jobs of an earlier sweep that are not over, with `retry` those that failed too; all can be trained.

    Raises:
        UserError: one cannot be trained here, or a process is still at it.
        StorageError: its config is damaged.
    """
    over = [status for status in OVER if not (retry and status == "failed")]
    left = [job for job in sweep.jobs if job.status not in over]
    for job in left:
        Lock(sweep.dir / job.name).release()  # a worker of a sweep that was killed may still be at it
        config = sweep.config(job)
        admit(config, sweep.dir / job.name, imports)
        check(config, checks(elsewhere=launching.elsewhere))
    return left


def vouch(imports: Sequence[str]) -> None:
    """Lets modules be imported in workers too, which ask again."""
    if imports:
        os.environ[VARIABLE] = ",".join([*imports, os.environ.get(VARIABLE, "")])


@contextmanager
def alone(directory: Path) -> Iterator[None]:
    """No other process trains the sweep meanwhile."""
    lock = Lock(directory)
    try:
        check_sweep(directory)
        yield
    finally:
        lock.release()
