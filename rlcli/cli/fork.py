"""`rlcli fork`: trains a new run that begins with the parameters of another."""

from __future__ import annotations

from typing import Annotated

import typer

from rlcli.cli.cfg import CfgOption, print_config
from rlcli.cli.checkpoint_name import which_checkpoint
from rlcli.cli.dry_run import DryRun, print_cost
from rlcli.cli.named import named_run
from rlcli.cli.options import AsJson, Imports, Quiet, Run
from rlcli.cli.outcome import conclude, conclude_sweep
from rlcli.cli.output import say
from rlcli.cli.own_code import import_own_code
from rlcli.errors import UserError


def fork(
    context: typer.Context,
    run: Run,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="OVERRIDE", help="KEY=VALUE of any key but network.*; algo=NAME, env=ID."),
    ] = None,
    at: Annotated[
        str,
        typer.Option(
            "--at", metavar="last|best|N", help="Checkpoint to begin with; N is the number of an update."
        ),
    ] = "last",
    fresh_optimiser: Annotated[
        bool,
        typer.Option(
            "--fresh-optimiser", help="Begin with a new optimiser where the parent's would fit, too."
        ),
    ] = False,
    multirun: Annotated[
        bool,
        typer.Option("--multirun", "-m", help="Train a sweep of forks: every combination of values."),
    ] = False,
    cfg: CfgOption = None,
    dry_run: DryRun = False,
    imports: Imports = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Train a new run from the parameters of another, its parent.

    The fork has the settings of its parent, with the overrides given on top: another seed, other
    hyperparameters, another algorithm, or another environment of the same spaces. total_steps counts its own
    steps. network.* cannot change, since parameters have the network's shapes.

    The optimiser's state is taken where algo.optimiser and algo.step_rule stay, unless --fresh-optimiser is
    given, the statistics of whitened
    observations with env.normalize_observation=true, the scale of rewards where also the environment and
    algo.gamma stay, and an adapted beta where algo.beta and algo.penalty stay. Episodes and schedules begin
    anew. A message says what was taken.

    What a fork begins from is kept in its own directory, in start.safetensors: it resumes, reproduces and
    can be forked itself, also when its parent is gone. The parent is not changed.

    Examples:
      rlcli fork last seed=1
      rlcli fork runs/my-run --at best algo.learning_rate=1e-4 total_steps=50000
      rlcli fork 73973d4e --at 40 algo=trpo
      rlcli fork last --fresh-optimiser algo.learning_rate=1e-3
      rlcli fork last -m seed=0,1,2 algo.gamma=0.98,0.99
      rlcli fork last algo=trpo --cfg job
    """
    quiet = quiet or bool((context.obj or {}).get("quiet"))
    which = which_checkpoint("--at", at)

    from rlcli.config.overrides import parse_command
    from rlcli.runs.fork import read_source
    from rlcli.store.directory import runs_root
    from rlcli.sweeps.fork import plan_forks
    from rlcli.sweeps.multirun import allow_imports, run_sweep
    from rlcli.sweeps.run import root_of, run_one

    if cfg is not None and dry_run:
        raise UserError("--cfg and --dry-run: give one of them.")
    import_own_code(imports or ())
    source = read_source(named_run(run, quiet=quiet), which, imports or ())
    command = parse_command(overrides or [], multirun=multirun)  # after the import of what declares keys
    planned = plan_forks(source, command, fresh_optimiser=fresh_optimiser)
    if cfg is not None:
        print_config(cfg, planned.jobs, command.hydra_words(), None, as_json)
        return
    if not quiet:
        for note in planned.notes:
            say(note)
    if dry_run:
        code = print_cost(planned.jobs, command, None, quiet, as_json)
    elif multirun:
        allow_imports(imports or ())
        code = conclude_sweep(
            run_sweep(planned.jobs, command, quiet=quiet, beginnings=planned.beginnings), as_json
        )
    else:
        [job], [beginning] = planned.jobs, planned.beginnings
        outcome = run_one(job, quiet=quiet, beginning=beginning)
        title = f"{job.config.algo.name} on {job.config.env.id}, seed {job.config.seed}"
        known = outcome.id if root_of(job) == runs_root() else outcome.dir
        code = conclude(outcome, title, known, as_json, job.config.profile)
    if code != 0:
        raise typer.Exit(code)
