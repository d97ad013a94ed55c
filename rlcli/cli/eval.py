"""`rlcli eval`: evaluates a trained policy over episodes."""

from __future__ import annotations

from typing import Annotated

import typer

from rlcli.cli.checkpoint_name import which_checkpoint
from rlcli.cli.named import named_run
from rlcli.cli.options import AsJson, Imports, Run
from rlcli.cli.output import count, emit, number, result


def evaluate(
    run: Run,
    episodes: Annotated[int, typer.Option("--episodes", "-n", min=1, help="Number of episodes.")] = 100,
    stochastic: Annotated[
        bool, typer.Option("--stochastic", help="Sample actions instead of taking the mode.")
    ] = False,
    checkpoint: Annotated[
        str,
        typer.Option(
            "--checkpoint", metavar="last|best|N", help="Checkpoint to load; N is the number of an update."
        ),
    ] = "last",
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Seed of the episodes; default: the run's own.")
    ] = None,
    max_steps: Annotated[
        int | None,
        typer.Option(
            "--max-steps",
            min=1,
            metavar="N",
            help="Stop an episode that has not ended after N steps; default: the run's eval.max_steps.",
        ),
    ] = None,
    video: Annotated[
        int,
        typer.Option(
            "--video",
            min=0,
            metavar="[N]",
            help="Film N episodes into the run's videos/: the best, the worst, then the first; "
            "N is 1 where it is left out.",
        ),
    ] = 0,
    imports: Imports = None,
    as_json: AsJson = False,
) -> None:
    """Evaluate a trained policy over episodes.

    Episodes are played on separate environments, by default with the mode of the policy and the weights of
    the last checkpoint.

    Examples:
      rlcli eval last
      rlcli eval last --checkpoint best --episodes 1000
      rlcli eval runs/my-run --stochastic --json
      rlcli eval last --video 2
    """
    which = which_checkpoint("--checkpoint", checkpoint)

    from rlcli.runs.evaluate import evaluate_run

    found = named_run(run)
    figures = evaluate_run(
        found, episodes=episodes, max_steps=max_steps, stochastic=stochastic, checkpoint=which, seed=seed,
        imports=imports or (), video=video,
    )  # fmt: skip
    if as_json:
        emit(figures)
        return
    how = "deterministic" if figures["deterministic"] else "stochastic"
    spread = f"{number(figures['return_min'])} to {number(figures['return_max'])}"
    result(f"return {number(figures['return_mean'])} +- {number(figures['return_std'])} ({spread})")
    result(
        f"{count(figures['episodes'])} {how} episodes of {number(figures['length_mean'])} steps on average"
    )
    if figures["cut"]:
        result(
            f"{count(figures['cut'])} of them did not end and were stopped after "
            f"{count(figures['max_steps'])} steps"
        )
    for path in figures.get("videos", ()):
        result(f"video {path}")
    result(f"checkpoint {figures['checkpoint']} of {found}, seed {figures['seed']}")
