"""`rlcli ope`: the return of a policy, estimated from episodes of another."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rlcli.cli.checkpoint_name import which_checkpoint
from rlcli.cli.named import named_run
from rlcli.cli.options import AsJson, Imports
from rlcli.cli.output import emit, paragraph, result, table
from rlcli.text import counted

if TYPE_CHECKING:
    from rlcli.analysis.episode_file import EpisodeFile
    from rlcli.analysis.ope import Evaluation, Weights


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
    direct method, each with a 95% bootstrap interval over episodes, and with the effective episodes, Pareto
    k-hat and largest of its weights, which say whether it can be trusted. Actions are sampled from the
    target, not its mode.

    Examples:
      rlcli ope last --behaviour my-run --verify
      rlcli ope my-run --behaviour behaviour.npz --gamma 0.99
    """
    which = which_checkpoint("--checkpoint", checkpoint)

    import torch

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
        rewards = torch.from_numpy(made.episodes.rewards)
        fresh = mean_interval(rewards @ gamma ** torch.arange(rewards.shape[1], dtype=torch.float64), seed)
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
    ess, shape, largest = _figures(answer.weights)
    paragraph(
        f"{counted(answer.episodes, 'episode')}, return {_number(answer.behaviour_return)}; effective "
        f"episodes {ess}, k-hat {shape}, largest weight {largest}"
    )
    warnings: dict[str, list[str]] = {}
    for one in answer.estimates:
        if one.warning is not None:
            warnings.setdefault(one.warning, []).append(_spaced(one.name))
    for warning, names in warnings.items():
        paragraph(f"Warning: {', '.join(names)}: {warning}.")
    result()
    rows = [
        (
            _spaced(one.name), _number(one.value), _interval(one.low, one.high), one.mark,
            *_figures(one.weights),
        )
        for one in answer.estimates
    ]  # fmt: skip
    if fresh is not None:
        rows.append(("fresh episodes", _number(fresh[0]), _interval(*fresh[1:]), "", *_figures(None)))
    weights = ("effective", "k-hat", "largest weight")
    headings = ("estimator", "return", "95% interval", "warning", *weights)
    table(headings, rows, ("return", *weights), optional=len(weights))
    result()
    for name, why in answer.left_out.items():
        paragraph(f"Left out: {_spaced(name)}: {why}.")
    paragraph(
        "The direct method's interval is that of the fitted values alone: what is wrong with the fit is not "
        "in it."
    )
    limit = f"no return is larger in size than {_number(answer.largest_return)}, the largest of these"
    if math.isfinite(answer.truncation_bias):
        paragraph(f"The truncated estimate's bias is about at most {answer.truncation_bias:.2f}, if {limit}.")
    if answer.lower_bound is None:
        paragraph("There is no lower bound of the return: the weights of whole episodes cannot be trusted.")
    else:
        paragraph(
            f"The return is above {answer.lower_bound:.2f} with 95% confidence, if {limit}, and the "
            "weights' second moment is what it is here."
        )


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _number(value: float | None, form: str = ".2f") -> str:
    """A number; a dash where there is none, or it is not finite."""
    return "-" if value is None or not math.isfinite(value) else f"{value:{form}}"


def _interval(low: float, high: float) -> str:
    return f"{low:.2f} to {high:.2f}" if math.isfinite(low) and math.isfinite(high) else "-"


def _figures(weights: Weights | None) -> tuple[str, str, str]:
    if weights is None:
        return ("", "", "")
    return (_number(weights.ess, ".1f"), _number(weights.khat), _number(weights.largest, ".3g"))
