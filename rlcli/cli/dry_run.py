"""Output of `rlcli train --dry-run`: updates, steps, time and memory of a command that is not carried out."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rlcli.cli.output import count, emit, result, say, table
from rlcli.text import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rlcli.config.command import Command
    from rlcli.config.compose import Composed
    from rlcli.config.search import Search
    from rlcli.sweeps.estimate import CohortEstimate, Estimate

DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Show updates, steps, estimated time and memory; train and save nothing."),
]
SHOWN = 20
"""Maximum number of cohorts in the table."""
GB = 10**9


def print_cost(
    jobs: Sequence[Composed], command: Command, search: Search | None, quiet: bool, as_json: bool
) -> int:
    """Print what a command would cost; returns the exit code: that of a run whose first update fails."""
    if not (quiet or as_json):
        say("Measuring a few updates in memory; nothing is saved.")
    from rlcli.sweeps.estimate import estimate_jobs, estimate_search

    found = estimate_jobs(jobs, command) if search is None else estimate_search(search)
    if as_json:
        emit(_row(found))
    elif command.multirun:
        _print_sweep(found)
    else:
        _print_run(jobs[0], found)
    for one in found.cohorts:
        if one.failure is not None:
            say(f"Error: the first update of {one.algo} on {one.env} failed: {one.failure}")
    return found.exit_code


def _row(found: Estimate) -> dict[str, Any]:
    return {
        "jobs": found.jobs,
        "trials": found.trials,
        "env_steps": found.env_steps,
        "seconds": found.seconds,
        "evaluation_seconds_at_most": found.evaluation_seconds,
        "memory": found.memory,
        "memory_free": found.memory_free,
        "cohorts_side_by_side": found.side_by_side,
        "rounds": found.rounds,
        "elsewhere": found.elsewhere,
        "exit_code": found.exit_code,
        "cohorts": [dataclasses.asdict(one) | {"seconds": one.seconds} for one in found.cohorts],
    }


def _print_run(job: Composed, found: Estimate) -> None:
    [one] = found.cohorts
    result(f"{one.algo} on {one.env}, seed {job.config.seed}")
    result(f"updates: {count(one.updates)} of {count(one.batch_size)} steps, {count(one.env_steps)} in all")
    if one.seconds_per_update is not None:
        from rlcli.loggers.progress import duration

        speed = one.batch_size / one.seconds_per_update
        result(
            f"time: about {duration(one.seconds)} ({_milliseconds(one)} ms per update, {speed:,.0f} steps/s, "
            f"measured over {_updates(one.measured_updates)})"
        )
    _print_evaluations(found)
    _print_memory(found)


def _print_sweep(found: Estimate) -> None:
    sizes = sorted({one.runs for one in found.cohorts})
    each = str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    number = len(found.cohorts)
    cohorts = f"{counted(number, 'cohort')} of {each}"
    if found.trials is not None:
        batches = "1 batch" if found.rounds == 1 else f"{count(found.rounds)} batches"
        cohorts = f"{count(found.trials)} trials in {batches} of {cohorts}"
    side = f", {found.side_by_side} at a time" if found.side_by_side > 1 else ""
    result(f"{count(found.jobs)} jobs: {cohorts}{side}")
    result(f"steps: {count(found.env_steps)} in all")
    if found.seconds is not None:
        from rlcli.loggers.progress import duration

        at_most = ", less if trials are pruned" if found.trials is not None else ""
        result(f"time: about {duration(found.seconds)}{at_most}")
    _print_evaluations(found)
    _print_memory(found)
    if found.elsewhere is not None:
        result(f"The cohorts train elsewhere ({found.elsewhere}): time and memory are this machine's.")
    rows = [_cells(one) for one in found.cohorts[:SHOWN]]
    table(COLUMNS, rows, right=COLUMNS[2:], optional=3)
    if len(found.cohorts) > SHOWN:
        result(f"and {len(found.cohorts) - SHOWN} more cohorts; --json has them all")


COLUMNS = ("algo", "env", "jobs", "updates", "ms/update", "time", "memory", "measured")


def _cells(one: CohortEstimate) -> tuple[str, ...]:
    from rlcli.loggers.progress import duration

    return (
        one.algo,
        one.env,
        count(one.runs),
        count(one.updates),
        "-" if one.seconds_per_update is None else _milliseconds(one),
        duration(one.seconds),
        "-" if one.memory is None else _size(one.memory),
        _updates(one.measured_updates) if one.measured_updates else "-",
    )


def _print_evaluations(found: Estimate) -> None:
    """How often policies are evaluated, and how long that takes if every episode lasts to its limit."""
    if found.seconds is None:
        return
    number = found.evaluations
    if number == 0:
        result("evaluations: none")
        return
    from rlcli.loggers.progress import duration

    episodes = sorted({one.episodes for one in found.cohorts})
    each = "/".join(map(count, episodes))
    at_most = "of unknown length"
    if found.evaluation_seconds is not None:
        seconds = found.evaluation_seconds
        at_most = f"{duration(seconds)} more at most" if seconds >= 1 else "less than 1 s more"
    result(f"evaluations: {count(number)}, of {each} episodes each; {at_most}")


def _print_memory(found: Estimate) -> None:
    if found.memory is None:
        return
    gpu = max((one.gpu_memory or 0 for one in found.cohorts), default=0)
    on_gpu = f", {_size(gpu)} on the GPU" if gpu else ""
    result(f"memory: about {_size(found.memory)}{on_gpu}; {_size(found.memory_free)} are free")
    if found.memory > found.memory_free and found.elsewhere is None:
        say("Warning: that is more than is free; cohort.workers and cohort.max_size limit it.")


def _milliseconds(one: CohortEstimate) -> str:
    milliseconds = 1000 * (one.seconds_per_update or 0.0)
    return f"{milliseconds:,.1f}" if milliseconds < 100 else f"{milliseconds:,.0f}"


def _updates(number: int) -> str:
    return "1 update" if number == 1 else f"{number} updates"


def _size(amount: int) -> str:
    return f"{amount / GB:,.1f} GB" if amount >= GB else f"{amount / 10**6:,.0f} MB"
