"""`rlcli ope`: the return of a policy, estimated from episodes of another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rlcli.cli.checkpoint_name import which_checkpoint
from rlcli.cli.named import named_run
from rlcli.cli.options import AsJson, Imports
from rlcli.cli.output import count, emit, paragraph, result, table

if TYPE_CHECKING:
    from rlcli.analysis.episode_file import EpisodeFile
    from rlcli.analysis.ope import Evaluation


def ope(
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="The run whose policy is evaluated.", show_default=False)
    ],
    behaviour: Annotated[
        str, typer.Option("--behaviour", metavar="RUN|FILE", help="A run that acts, or a file of rollouts.")
    ],
    episodes: Annotated[
        int, typer.Option("--episodes", "-n", min=2, help="Episodes that a run plays.")
    ] = 200,
    gamma: Annotated[
        float, typer.Option("--gamma", min=0.0, max=1.0, help="Discount of the return that is estimated.")
    ] = 1.0,
    checkpoint: Annotated[
        str, typer.Option("--checkpoint", metavar="last|best|N", help="Checkpoint of the target.")
    ] = "last",
    verify: Annotated[
        bool, typer.Option("--verify", help="Play the target's own episodes, too, and show their return.")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of episodes, fits and resampling.")] = 0,
    imports: Imports = None,
    as_json: AsJson = False,
) -> None:
    """Estimate a policy's return from episodes of another policy.

    Importance sampling in its ordinary, per-decision, weighted, truncated and doubly robust forms, and the
    direct method, each with a 95% bootstrap interval over episodes; effective episodes and Pareto k-hat say
    whether the weights can be trusted. Actions are sampled from the target, not its mode.

    Examples:
      rlcli ope last --behaviour my-run --verify
      rlcli ope my-run --behaviour behaviour.npz --gamma 0.99
    """
    which = which_checkpoint("--checkpoint", checkpoint)

    from rlcli.analysis.ope import evaluate, mean_interval
    from rlcli.runs.episodes import record_run
    from rlcli.runs.policy import read_policy

    found = named_run(target, quiet=as_json)
    trained = read_policy(found, which, imports or ())
    recorded, origin = _recorded(behaviour, episodes, seed, imports or ())
    answer = evaluate(trained, recorded, origin, gamma, seed)
    fresh = None
    if verify:
        made = record_run(found, episodes=episodes, checkpoint=which, seed=seed + 1, imports=imports or ())
        steps = made.episodes.rewards.shape[1]
        discounts = [gamma**step for step in range(steps)]
        fresh = mean_interval(made.episodes.rewards @ discounts, seed)
    if as_json:
        shown: dict[str, Any] = {"target": str(found), "behaviour": origin, **answer.row()}
        if fresh is not None:
            shown["fresh"] = dict(zip(("value", "low", "high"), fresh, strict=True))
        emit(shown)
        return
    _print(answer, fresh)


def _recorded(
    behaviour: str, episodes: int, seed: int, imports: list[str] | tuple[str, ...]
) -> tuple[EpisodeFile, str]:
    """Recorded episodes: read from a file, or played by a run."""
    from rlcli.analysis.episode_file import EpisodeFile, read_episodes
    from rlcli.runs.episodes import record_run

    if behaviour.endswith(".npz") or Path(behaviour).is_file():
        return read_episodes(Path(behaviour)), behaviour
    found = named_run(behaviour, quiet=True)
    made = record_run(found, episodes=episodes, seed=seed, imports=imports)
    return EpisodeFile(made.episodes, made.log_probs, made.about(found.name)), str(found)


def _print(answer: Evaluation, fresh: tuple[float, float, float] | None) -> None:
    tail = "-" if answer.khat is None else f"{answer.khat:.2f}"
    result(
        f"{count(answer.episodes)} episodes, return {answer.behaviour_return:.2f}; effective episodes "
        f"{answer.effective:.1f}, k-hat {tail}, largest weight {answer.largest_weight:.3g}"
    )
    if answer.warning is not None:
        paragraph(f"Warning: {answer.warning}")
    result()
    rows = [
        (
            one.name.replace("_", " "),
            f"{one.value:.2f}",
            f"{one.low:.2f} to {one.high:.2f}",
            "worthless" if one.worthless else "",
        )
        for one in answer.estimates
    ]
    if fresh is not None:
        rows.append(("fresh episodes", f"{fresh[0]:.2f}", f"{fresh[1]:.2f} to {fresh[2]:.2f}", ""))
    table(("estimator", "return", "95% interval", ""), rows, ("return",))
    result()
    paragraph(f"The truncated estimate's bias is at most {answer.truncation_bias:.2f}.")
    paragraph(
        f"The return is above {answer.lower_bound:.2f} with 95% confidence, if no return is larger than the "
        "largest seen and the weights' second moment is what it is here."
    )
