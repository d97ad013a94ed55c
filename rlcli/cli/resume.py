"""`rlcli resume`: resumes a run or a sweep from its last checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rlcli.cli.options import AsJson, Imports, Quiet
from rlcli.cli.outcome import conclude, conclude_sweep, outcome_row
from rlcli.cli.output import emit, result, say
from rlcli.errors import UserError

if TYPE_CHECKING:
    from rlcli.config.command import Command


def resume(
    context: typer.Context,
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN", help="A run's folder, a prefix of its id, last, or a sweep.", show_default=False
        ),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="OVERRIDE", help="KEY=VALUE of a key that a resume may change."),
    ] = None,
    retry: Annotated[
        bool, typer.Option("--retry", help="Of a sweep: also resume the jobs that failed.")
    ] = False,
    imports: Imports = None,
    config_dir: Annotated[
        str | None,
        typer.Option("--config-dir", metavar="DIR", help="Of a sweep with a sampler: its --config-dir."),
    ] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Resume a run or a sweep, or train a finished run further.

    Training continues in the run's own directory from the last valid checkpoint, and the result is that of an
    uninterrupted run: the same weights and the same rows, to the last bit. Rows after the checkpoint are
    computed again. Where that is not possible, a message says why.

    Overrides may set total_steps (a larger value continues a finished run), schedule_steps, stop_at.*
    (stop_at.threshold=null continues a run that stopped early), alerts.RULE.action, eval.*, checkpoint.*,
    logger, wandb.mode, tags and notes. All other keys determined the steps already trained and are refused.
    Each resume is recorded in manifest.json.

    Schedules keep their original length, so a learning rate that has fallen to 0 stays there, with a warning.
    schedule_steps=N gives them another length from here on; the steps already trained stay as they are.

    Of a sweep, jobs that have not started are trained, interrupted ones are resumed, and finished ones are
    left alone; --retry also resumes failed ones. hydra/launcher=... selects the launcher, as for rlcli train
    -m. A sampler continues with the remaining trials, as it would have without the interruption;
    sweep.trials=N sets another number of them.

    Examples:
      rlcli resume last
      rlcli resume runs/my-sweep
      rlcli resume runs/my-sweep hydra/launcher=submitit hydra.launcher.partition=gpu
      rlcli resume runs/my-search sweep.trials=100
      rlcli resume 73973d4e total_steps=200000 schedule_steps=200000
      rlcli resume runs/my-run checkpoint.every=5000 'logger=[console,jsonl]'
    """
    quiet = quiet or bool((context.obj or {}).get("quiet"))

    from rlcli.config.overrides import parse_command
    from rlcli.runs.resume import resume as resume_run
    from rlcli.store.config_file import read_config
    from rlcli.store.directory import find_run, find_sweep, runs_root, summary
    from rlcli.sweeps.preflight import CHECKS

    command = parse_command(overrides or [])
    root = runs_root()
    sweep_dir = find_sweep(run, root)
    if sweep_dir is not None:
        code = _resume_sweep(sweep_dir, command, imports or [], retry, config_dir, quiet, as_json)
        if code != 0:
            raise typer.Exit(code)
        return
    if retry:
        raise UserError("--retry is for sweeps: a failed run resumes without it.")
    if config_dir is not None:
        raise UserError("--config-dir is for sweeps: a run resumes with its own config.yaml.")
    found = find_run(run, root)
    about = summary(found)

    def notify(text: str) -> None:
        if not quiet:
            say(f"{found}: {text}")

    outcome = resume_run(found, command, imports=imports or (), checks=CHECKS, notify=notify, quiet=quiet)
    if outcome.exit_code == 0 and about["status"] == "finished" and outcome.updates == about["updates"]:
        if as_json:
            emit(outcome_row(outcome))
        else:
            result(f"{found}: {outcome.message}")
        return
    title = f"{about['algo']} on {about['env']}, seed {about['seed']}"
    known = outcome.id if found.parent == root else found
    profiled = read_config(found).profile
    code = conclude(outcome, title, known, as_json, profiled)
    if code != 0:
        raise typer.Exit(code)


def _resume_sweep(
    directory: Path,
    command: Command,
    imports: list[str],
    retry: bool,
    config_dir: str | None,
    quiet: bool,
    as_json: bool,
) -> int:
    from rlcli.sweeps.multirun import resume_sweep
    from rlcli.sweeps.search.loop import resume_search
    from rlcli.sweeps.sweep import Sweep

    if Sweep.read(directory).searches:
        trials = _trials(command)
        sweep = resume_search(
            directory, launching=command.launching, imports=imports, retry=retry, config_dir=config_dir,
            trials=trials, quiet=quiet,
        )  # fmt: skip
    else:
        _check_launcher_alone(command)
        sweep = resume_sweep(
            directory, launching=command.launching, imports=imports, retry=retry, quiet=quiet
        )
    return conclude_sweep(sweep, as_json)


def _check_launcher_alone(command: Command) -> None:
    """Raises `UserError` where a command sets more than the launcher, or sets that wrongly."""
    from rlcli.config.command import key_of
    from rlcli.config.launchers import is_of_launcher

    others = [text for text in command.typed if not is_of_launcher(key_of(text))]
    if others:
        raise UserError(
            f"The settings of a sweep's jobs cannot be changed by a resume: {' '.join(others)}.",
            hint="The launcher can be changed: hydra/launcher=NAME. "
            "Its runs can be resumed one by one, with overrides.",
        )
    command.require_sound()


def _trials(command: Command) -> int | None:
    """Number of trials that a command sets, or None; besides the launcher it may set nothing else."""
    from rlcli.config.faults import texts
    from rlcli.config.launchers import is_of_launcher

    settings = [one for one in command.settings if not is_of_launcher(one.key)]
    others = [one.key for one in settings if one.key != "sweep.trials" or one.texts == ("null",)]
    if command.faults or others:
        refused = [f"{key} cannot be changed: the sweep's trials were sampled with it." for key in others]
        raise UserError(
            *texts(command.faults),
            *refused,
            hint="A resumed sweep may change: sweep.trials, hydra/launcher.",
        )
    return int(settings[0].values[0].data) if settings else None
