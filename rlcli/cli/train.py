"""`rlcli train`: trains one run, or with -m the jobs of a sweep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from rlcli.cli.cfg import CfgOption, print_config
from rlcli.cli.dry_run import DryRun, print_cost
from rlcli.cli.options import AsJson, Imports, Quiet
from rlcli.cli.outcome import conclude, conclude_sweep
from rlcli.cli.output import say
from rlcli.cli.own_code import import_own_code
from rlcli.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rlcli.config.command import Command
    from rlcli.config.compose import Composed
    from rlcli.config.search import Search


def train(
    context: typer.Context,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="OVERRIDE",
            help="KEY=VALUE or GROUP=CHOICE, in Hydra's grammar: algo=ppo env=Pendulum-v1 algo.clip=0.1.",
        ),
    ] = None,
    multirun: Annotated[
        bool,
        typer.Option(
            "--multirun", "-m", help="Train a sweep: every combination of values given with commas."
        ),
    ] = False,
    cfg: CfgOption = None,
    config_dir: Annotated[
        str | None,
        typer.Option(
            "--config-dir",
            metavar="DIR",
            help="Folder of your own configs, searched before the built-in ones.",
        ),
    ] = None,
    dry_run: DryRun = False,
    imports: Imports = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Train a policy, by default PPO on CartPole-v1.

    Overrides and flags may be given in any order. Keys are listed and explained by `rlcli explain`. Tuned
    settings of an algorithm and an environment are defaults that overrides replace; tuned=none disables them.

    With stop_at.threshold a run ends early, as finished, once stop_at.metric has reached it: of evaluations,
    at multiples of eval.every, or of training, such as train/return_100 (rlcli explain stop_at).

    --import MODULE imports a module of yours that registers networks, algorithms or metrics
    (docs/extending.md); RLCLI_IMPORT=MODULE does so for all your commands. The run records it.

    With -m, jobs of the same shape train together as one batched program (a cohort), each with the same
    numbers as alone; see cohort.max_size and cohort.workers. hydra/launcher=... selects the launcher: this
    machine, joblib, Slurm through submitit, or Ray (`rlcli list launchers`). rlcli resume resumes a sweep.

    With sweep.sampler, an Optuna sampler searches hyperparameters: over the space sweep=NAME (`rlcli list
    configs`) or the ranges you give; each trial trains with sweep.replicas seeds. See rlcli sweep.

    With --dry-run, a few updates of each shape of cohort are measured in memory, and time and memory of the
    whole command are estimated from them, with the number of jobs and cohorts. Time for logging and
    checkpoints is not included; it is a few percent.

    Examples:
      rlcli train
      rlcli train env=Pendulum-v1 seed=1 total_steps=200000
      rlcli train algo.clip=0.1 'network.hidden=[128,128]' name=wide
      rlcli train env=LunarLander-v3 env.kwargs.gravity=-5 'tags=[moon]'
      rlcli train eval.every=10000 stop_at.threshold=475 stop_at.evaluations=3
      rlcli train -m seed=0,1,2 algo.clip=0.1,0.2
      rlcli train -m 'seed=range(64)' hydra/launcher=submitit hydra.launcher.partition=cpu
      rlcli train -m sweep=ppo sweep.trials=20 sweep.replicas=3
      rlcli train experiment=benchmark_shape --cfg job
      rlcli train -m 'seed=range(32)' --dry-run
    """
    from rlcli.config.overrides import parse_command
    from rlcli.sweeps.plan import plan, plan_search

    import_own_code(imports or ())

    if cfg is not None and dry_run:
        raise UserError("--cfg and --dry-run: give one of them.")
    quiet = quiet or bool((context.obj or {}).get("quiet"))
    command = parse_command(overrides or [], multirun=multirun, config_dir=config_dir)
    search = plan_search(command)
    jobs = [search.base] if search else plan(command)
    if cfg is not None:
        words = search.shared_words() if search else command.hydra_words()
        print_config(cfg, jobs, words, config_dir, as_json)
        return
    if not quiet:
        _announce_tuned(jobs, config_dir)
    if dry_run:
        code = print_cost(jobs, command, search, quiet, as_json)
    elif search is not None:
        code = _search(search, quiet, as_json)
    elif multirun:
        code = _train_sweep(jobs, command, quiet, as_json)
    else:
        code = _train_one(jobs[0], quiet, as_json)
    if code != 0:
        raise typer.Exit(code)


def _train_one(job: Composed, quiet: bool, as_json: bool) -> int:
    from rlcli.store.directory import runs_root
    from rlcli.sweeps.run import root_of, run_one

    outcome = run_one(job, quiet=quiet)
    title = f"{job.config.algo.name} on {job.config.env.id}, seed {job.config.seed}"
    known = outcome.id if root_of(job) == runs_root() else outcome.dir
    return conclude(outcome, title, known, as_json, job.config.profile)


def _train_sweep(jobs: Sequence[Composed], command: Command, quiet: bool, as_json: bool) -> int:
    from rlcli.sweeps.multirun import run_sweep

    return conclude_sweep(run_sweep(jobs, command, quiet=quiet), as_json)


def _search(search: Search, quiet: bool, as_json: bool) -> int:
    from rlcli.sweeps.search.loop import run_search

    return conclude_sweep(run_search(search, quiet=quiet), as_json)


def _announce_tuned(jobs: Sequence[Composed], config_dir: str | None) -> None:
    from rlcli.config.compose import tuned_files

    chosen = dict.fromkeys(job.config.tuned for job in jobs)
    applied = dict.fromkeys(name for choice in chosen for name in tuned_files(choice, config_dir))
    if applied:
        names = ", ".join(applied)
        say(f"Using tuned settings of {names} (tuned=none leaves them out; --cfg job shows them).")
