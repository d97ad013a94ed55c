"""`rlcli.train(overrides)` and `rlcli.sweep(overrides)`: the Python interface of `rlcli train`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlcli.config.command import Command
from rlcli.config.overrides import parse_command
from rlcli.sweeps.plan import plan, plan_search
from rlcli.sweeps.run import run_one

if TYPE_CHECKING:
    from rlcli.config.compose import Composed
    from rlcli.runs.callback import OnRow
    from rlcli.runs.result import Result
    from rlcli.store.checkpoints import Which
    from rlcli.store.start_file import Beginning
    from rlcli.sweeps.sweep import Job, Sweep

Overrides = str | Sequence[str]
"""Overrides as on the command line: a list, or one string that is split as a shell would."""


@dataclass(frozen=True)
class SweepResult:
    """How a sweep ended: its directory, the result of each job, and a table of them."""

    dir: Path
    status: str
    """finished, failed (a job did not finish) or interrupted."""
    exit_code: int
    results: tuple[Result, ...]
    """One per job, in the order of the sweep, each with the job's directory."""
    rows: list[dict[str, Any]]
    """One per job, as results.csv has them, with typed values: the settings that differ, the evaluation,
    health figures of the last update, status, id and directory. A missing figure is None.
    """

    def _repr_html_(self) -> str:
        """Tables and curves, for a notebook."""
        from rlcli.runs import html

        about = {"status": self.status, "jobs": len(self.results), "dir": self.dir}
        curves = html.comparison(result.dir for result in self.results)
        return html.facts(f"sweep {self.dir.name}", about) + html.grid(self.rows) + curves


def train(
    overrides: Overrides = (),
    *,
    on_row: OnRow | None = None,
    config_dir: str | None = None,
    quiet: bool = True,
) -> Result:
    """Train one run as `rlcli train` would and return its result.

    `overrides` are those of the command line, as a list or as one string: `train("env=Pendulum-v1 seed=1")`.
    `on_row` is called between updates with each row of metrics, before it is written. It may return
    `rlcli.STOP` or raise `rlcli.StopTraining("why")`: the run is evaluated, saved and ends as finished, with
    the reason in `result.message` and manifest.json. No number of the run depends on it.

    Raises:
        UserError: an override is wrong; nothing was written to disk.
        Exception: what `on_row` raised; the run has ended as failed.
    """
    return _trained(plan(_command(overrides, config_dir))[0], on_row, quiet)


def fork(
    run: str | Path = "last",
    overrides: Overrides = (),
    *,
    at: Which = "last",
    fresh_optimiser: bool = False,
    on_row: OnRow | None = None,
    runs_dir: str | None = None,
    quiet: bool = True,
) -> Result:
    """Train a fork of a run as `rlcli fork` would: a new run that begins with its parameters.

    `run` is a path, the beginning of an id, a name, or 'last'; `at` is the update of a checkpoint, 'last' or
    'best'. With `fresh_optimiser` the state of its optimiser is not taken. `overrides` and `on_row` are as
    for `train`.

    Raises:
        UserError: there is no such run or checkpoint, or an override is wrong; nothing was written to disk.
        StorageError: the files of the run are damaged.
        Exception: what `on_row` raised; the fork has ended as failed.
    """
    from rlcli.runs.fork import read_source
    from rlcli.store.directory import find_run, runs_root
    from rlcli.sweeps.fork import plan_forks

    source = read_source(find_run(str(run), runs_root(runs_dir)), at)
    planned = plan_forks(source, _command(overrides, None), fresh_optimiser=fresh_optimiser)
    return _trained(planned.jobs[0], on_row, quiet, planned.beginnings[0])


def _trained(job: Composed, on_row: OnRow | None, quiet: bool, beginning: Beginning | None = None) -> Result:
    """The result of one run; raises what `on_row` raises."""
    if on_row is None:
        return run_one(job, quiet=quiet, beginning=beginning)

    from rlcli.runs.callback import RowCallback

    callback = RowCallback(on_row)
    result = run_one(job, quiet=quiet, callback=callback, beginning=beginning)
    callback.raise_error()
    return result


def sweep(overrides: Overrides = (), *, config_dir: str | None = None, quiet: bool = True) -> SweepResult:
    """Train a sweep as `rlcli train -m` would: `sweep("seed=0,1,2 algo.clip=0.1,0.2")`.

    Jobs of one shape train together, by the launcher that `hydra/launcher=` selects; with `sweep.sampler` an
    Optuna sampler proposes them. A job that fails does not stop the others.

    Raises:
        UserError: an override is wrong; nothing was written to disk.
    """
    command = _command(overrides, config_dir, multirun=True)
    search = plan_search(command)
    if search is not None:
        from rlcli.sweeps.search.loop import run_search

        return _sweep_result(run_search(search, quiet=quiet))
    jobs = plan(command)

    from rlcli.sweeps.multirun import run_sweep

    return _sweep_result(run_sweep(jobs, command, quiet=quiet))


def _command(overrides: Overrides, config_dir: str | None, multirun: bool = False) -> Command:
    texts = shlex.split(overrides) if isinstance(overrides, str) else list(overrides)
    return parse_command(texts, multirun=multirun, config_dir=config_dir)


def _sweep_result(done: Sweep) -> SweepResult:
    from rlcli.sweeps.results import rows

    results = tuple(_result(done, job) for job in done.jobs)
    return SweepResult(done.dir, done.status, done.exit_code, results, rows(done))


def _result(done: Sweep, job: Job) -> Result:
    """The result of a job; one that did not start has the exit code of what stopped the sweep."""
    from rlcli.runs.result import Result
    from rlcli.sweeps.sweep import NO_ID

    code = done.exit_code if job.exit_code is None else job.exit_code
    return Result(
        done.dir / job.name, job.id or NO_ID, job.status, job.env_steps or 0, job.updates or 0,
        job.eval_return_mean, code, job.message,
    )  # fmt: skip
