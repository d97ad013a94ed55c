"""Output at the end of a run or a sweep: the same after `rlcli train` and `rlcli resume`."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from rlcli.cli.output import count, emit, number, result, result_is_kept, say, table
from rlcli.errors import EXIT_STORAGE, StorageError, UserError
from rlcli.text import as_typed

if TYPE_CHECKING:
    from pathlib import Path

    from rlcli.runs.result import Result
    from rlcli.sweeps.sweep import Sweep

HEALTH = (
    ("KL", "behaviour/kl_mu_pi", None),
    ("ESS", "behaviour/ess", 3),
    ("clip", "behaviour/clip_fraction", 3),
    ("training", "train/return_100", 1),
    ("entropy", "update/entropy", 3),
    ("expl.var", "update/explained_variance", 3),
)
"""Metrics in a sweep's table with their digits; the last are left out where there is no room.

None: of any size, as in the lines of a run, so that small divergences are not all 0.0000.
"""


def conclude(outcome: Result, title: str, reference: object, as_json: bool, profiled: bool = False) -> int:
    """Print the outcome of a run, which `reference` names on the command line; returns the exit code.

    `profiled`: its config asks for a profile, which is printed too.
    """
    named = as_typed(reference)
    words = " ".join((named, *_import_flags(outcome.dir)))
    result_is_kept()
    if as_json:
        emit(outcome_row(outcome))
    elif outcome.exit_code == 0:
        result(f"{title}: {_achieved(outcome)}")
        if outcome.message is not None:
            result(f"Stopped early: {outcome.message}")
        result(f"Saved to {outcome.dir}")
        result(f"Next: rlcli eval {words}, or rlcli show {named}")
    if profiled and not as_json:
        _print_profile(outcome)
    if outcome.exit_code != 0:
        say(f"{outcome.status}: {outcome.message or 'no reason given'}")
        if not outcome.dir.is_dir():
            say(f"{outcome.dir} does not exist any more: it was removed while the run trained.")
            return int(outcome.exit_code)
        say(f"Saved to {outcome.dir}; for details see its train.log.")
        for line in _next_steps(outcome, words):
            say(line)
    return int(outcome.exit_code)


def _print_profile(outcome: Result) -> None:
    from rlcli.cli.profile_table import print_profile
    from rlcli.store.profile import read_profile

    profile = read_profile(outcome.dir)
    if profile is not None:
        print_profile(profile)


def _import_flags(run_dir: Path) -> list[str]:
    """`--import MODULE` for modules that the next command has to name; none if the config cannot be read."""
    from rlcli.runs.reference import import_flags
    from rlcli.store.config_file import read_config

    try:
        return import_flags(run_dir, read_config(run_dir))
    except (StorageError, UserError):
        return []


def _exact(run_dir: Path) -> bool:
    """Whether a resume repeats what the run did."""
    from rlcli.store.manifest import Manifest

    with contextlib.suppress(StorageError):
        return bool(Manifest.read(run_dir).content.get("exact_resume", True))
    return True


def _next_steps(outcome: Result, words: str) -> list[str]:
    """What to do after a run that did not end well; `words` name it on the command line.

    A resume repeats a run to the last bit, and with it most failures.
    """
    from rlcli.runs.failures import FILE as BATCH

    if outcome.status == "finished":
        return []
    if outcome.status != "failed":
        return [f"Resume with: rlcli resume {words}"]
    if outcome.exit_code == EXIT_STORAGE:
        return [f"Once its files can be written: rlcli resume {words}"]
    if (outcome.dir / BATCH).exists():
        return [
            "A resume would end in the same way: train it again with other settings, such as a smaller "
            "learning rate.",
            f"Its last figures: rlcli show {words.partition(' --import ')[0]}",
        ]
    repeats = "repeats the same steps" if _exact(outcome.dir) else "begins new episodes"
    return [
        f"Resuming {repeats} and fails again until the cause is fixed.",
        f"After that: rlcli resume {words}",
    ]


def conclude_sweep(sweep: Sweep, as_json: bool) -> int:
    """Print the outcome of a sweep; returns the exit code."""
    result_is_kept()
    if as_json:
        emit_sweep(sweep)
        return sweep.exit_code
    print_sweep(sweep)
    result(f"Saved to {sweep.dir}")
    if sweep.exit_code == 0 and sweep.searches:
        result(f"Next: rlcli sweep best {as_typed(sweep.dir)}, or rlcli show {as_typed(sweep.dir)}")
    elif sweep.exit_code == 0:
        result(f"Next: rlcli show {as_typed(sweep.dir)}, or rlcli runs {as_typed(sweep.dir)}")
    profiled = [job.name for job in sweep.jobs if (sweep.dir / job.name / "profile.json").is_file()]
    if profiled:  # of a cohort, the one that ends last has all of its time
        result(f"Where the time went: rlcli show {as_typed(sweep.dir / profiled[-1])}")
    else:
        gone = [job.name for job in sweep.jobs if not (sweep.dir / job.name).is_dir()]
        if gone:
            say(f"It cannot be resumed: the folders of {', '.join(gone)} do not exist any more.")
            return sweep.exit_code
        from rlcli.sweeps.reference import reference
        from rlcli.sweeps.sweep import OVER

        again = reference(sweep).words
        statuses = {job.status for job in sweep.jobs}
        if not statuses <= set(OVER):
            say(f"Resume with: rlcli resume {again}")
        if "failed" in statuses:
            say("Jobs that failed will fail again until the cause is fixed.")
            say(f"After that: rlcli resume {again} --retry")
    return sweep.exit_code


def print_sweep(sweep: Sweep) -> None:
    """Print one row per job: status, last and best evaluation, health at its last update."""
    from rlcli.loggers.progress import figure
    from rlcli.sweeps.results import health

    trial = ("trial",) if sweep.searches else ()
    headings = (*trial, "job", "status", "steps", "return", "best", *(heading for heading, _, _ in HEALTH))
    rows = []
    for job in sweep.jobs:
        figures = health(sweep, job)
        rows.append(
            (
                *([count(job.trial)] if trial else []),
                job.name,
                job.status,
                count(job.env_steps),
                number(job.eval_return_mean),
                number(job.best_return_mean),
                *(
                    figure(figures[name]) if digits is None else number(figures[name], digits)
                    for _, name, digits in HEALTH
                ),
            )
        )
    table(headings, rows, right=(*trial, *headings[len(trial) + 2 :]), optional=len(HEALTH))


def emit_sweep(sweep: Sweep) -> None:
    """Print one JSON object per job, with its health at its last update."""
    from rlcli.sweeps.results import health

    for job in sweep.jobs:
        emit({**job.row(), "health": health(sweep, job)})


def outcome_row(outcome: Result) -> dict[str, Any]:
    """A `Result` as plain data."""
    return {
        "id": outcome.id,
        "dir": str(outcome.dir),
        "status": outcome.status,
        "env_steps": outcome.env_steps,
        "updates": outcome.updates,
        "eval_return_mean": outcome.eval_return_mean,
        "exit_code": outcome.exit_code,
        "message": outcome.message,
    }


def _achieved(outcome: Result) -> str:
    steps = f"{count(outcome.env_steps)} steps"
    if outcome.eval_return_mean is None:
        return f"trained for {steps}, not evaluated"
    return f"return {number(outcome.eval_return_mean)} after {steps}"
