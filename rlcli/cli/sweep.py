"""`rlcli sweep`: the status of a sweep, and the best of its trials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from rlcli.cli.options import AsJson
from rlcli.cli.output import count, emit, number, result, table
from rlcli.text import as_typed

if TYPE_CHECKING:
    from rlcli.sweeps.status import SweepStatus, TrialStatus

Directory = Annotated[
    str,
    typer.Argument(metavar="SWEEP", help="A sweep's folder, its name, or last.", show_default=False),
]
SHOWN = 5
"""Maximum trials shown: the best, and the failed with their reasons."""


def status(sweep: Directory, as_json: AsJson = False) -> None:
    """Show the status of a sweep: its trials, its progress, and the best trial so far.

    Jobs that differ in their seeds alone count as one trial, also without a sampler.

    Examples:
      rlcli sweep status last
      rlcli sweep status runs/my-sweep --json
    """
    state = _status(sweep)
    if as_json:
        emit(state.row())
        return

    from rlcli.loggers.progress import duration

    about = state.row()
    sampler = "" if state.settings.sampler == "none" else f", sampler {state.settings.sampler}"
    result(f"{state.sweep.dir}: {state.status}{sampler}")
    counts = ", ".join(f"{many} {way}" for way, many in state.by_status().items() if many)
    result(f"trials: {len(state.trials)} of {state.planned}" + (f", {counts}" if counts else ""))
    if repeats := sum(one.repeats is not None for one in state.trials):
        result(f"repeats: {count(repeats)} of the trials have the parameters of an earlier one")
    share = about["env_steps"] / max(1, about["env_steps_in_all"])
    result(f"env steps: {about['env_steps']:,} of {about['env_steps_in_all']:,} ({share:.0%})")
    result(f"time: {duration(state.seconds)}, since {state.sweep.started}")
    for one in state.best()[:SHOWN]:
        result(f"best: {_headline(one, state)} ({_params(one) or 'nothing varied'})")
    for one in [one for one in state.trials if one.status == "failed"][:SHOWN]:
        result(f"failed: trial {one.number} ({_params(one)}): {one.reason}")
    if state.status not in ("running", "finished"):
        from rlcli.sweeps.reference import reference

        result(f"Resume with: rlcli resume {reference(state.sweep).words}")


def best(sweep: Directory, as_json: AsJson = False) -> None:
    """Show the best trial of a sweep, or the Pareto front where there are several objectives.

    Shown are its values, its parameters, the result of each seed, and the command line that trains it again.
    A trial's value is the interquartile mean over its seeds; without a sampler, of their returns.

    Examples:
      rlcli sweep best last
      rlcli sweep best runs/my-sweep --json
    """
    state = _status(sweep)
    found = state.best()
    if as_json:
        for one in found:
            emit(one.row(state.wanted, state.sweep.config_dir))
        return
    if not found:
        result(
            f"No trial of {state.sweep.dir} has finished yet: rlcli sweep status {as_typed(state.sweep.dir)}"
        )
        return
    if len(state.wanted) > 1:
        result(f"{len(found)} trials that no other is better than in every objective:")
    for one in found:
        _print(one, state)


def _status(reference: str) -> SweepStatus:
    from rlcli.store.directory import require_sweep, runs_root
    from rlcli.sweeps.status import sweep_status
    from rlcli.sweeps.sweep import Sweep

    return sweep_status(Sweep.read(require_sweep(reference, runs_root())))


def _print(one: TrialStatus, state: SweepStatus) -> None:
    seeds = len(one.jobs)
    over = f", interquartile mean of {seeds} seeds" if seeds > 1 else ""
    again = "" if one.repeats is None else f", repeats trial {one.repeats}"
    result(f"{_headline(one, state)}{over}{again}")
    for key, text in one.params.items():
        result(f"  {key}={text}")
    rows = [(job.name, number(job.eval_return_mean), number(job.best_return_mean)) for job in one.jobs]
    table(("job", "return", "best"), rows, right=("return", "best"))
    result(f"Train it again: {one.command(state.sweep.config_dir)}")


def _headline(one: TrialStatus, state: SweepStatus) -> str:
    from rlcli.loggers.progress import figure

    pairs = zip(state.wanted, one.values or [], strict=False)
    return f"trial {one.number}, " + ", ".join(f"{wanted.metric} {figure(value)}" for wanted, value in pairs)


def _params(one: TrialStatus) -> str:
    from rlcli.sweeps.names import rounded

    return ", ".join(f"{key}={rounded(text)}" for key, text in one.params.items())
