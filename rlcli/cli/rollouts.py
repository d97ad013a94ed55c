"""`rlcli rollouts`: records episodes of a trained policy."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rlcli.cli.checkpoint_name import which_checkpoint
from rlcli.cli.named import named_run
from rlcli.cli.options import AsJson, Imports, Run
from rlcli.cli.out_file import check_out
from rlcli.cli.output import emit, number, paragraph, result
from rlcli.errors import UserError
from rlcli.text import counted

DATASET = re.compile(r"[-_\w]+-v\d+", re.ASCII)
"""Names that Minari's ids may have."""


class Form(StrEnum):
    """What is written."""

    npz = "npz"
    minari = "minari"


def rollouts(
    run: Run,
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            metavar="FILE.npz",
            help="File, or folder of a dataset, to write.",
            show_default="episodes.npz or episodes-v0",
        ),
    ] = None,
    form: Annotated[
        Form, typer.Option("--format", help="Plain arrays, or a dataset of Minari in a folder NAME-v0.")
    ] = Form.npz,
    episodes: Annotated[int, typer.Option("--episodes", "-n", min=1, help="Number of episodes.")] = 100,
    checkpoint: Annotated[
        str, typer.Option("--checkpoint", metavar="last|best|N", help="Checkpoint to load.")
    ] = "last",
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Seed of the episodes; default: the run's own.")
    ] = None,
    imports: Imports = None,
    as_json: AsJson = False,
) -> None:
    """Record episodes of a trained policy.

    Actions are sampled; their log-probabilities are recorded with them, so that another policy can be
    evaluated from the file: rlcli ope. The file has plain arrays: docs/off_policy.md.

    Examples:
      rlcli rollouts last --episodes 200 --out behaviour.npz
      rlcli rollouts last --format minari --out cartpole-v0
    """
    which = which_checkpoint("--checkpoint", checkpoint)
    path = _file(out or "episodes.npz") if form is Form.npz else _folder(out or "episodes-v0")

    from rlcli.analysis.episode_file import EpisodeFile, write_episodes
    from rlcli.runs.episodes import check_minari, record_run, write_minari

    found = named_run(run, quiet=as_json)
    if form is Form.minari:
        check_minari()
    made = record_run(found, episodes=episodes, checkpoint=which, seed=seed, imports=imports or ())
    if form is Form.minari:
        write_minari(path, made, found.name)
    if form is Form.npz:
        write_episodes(path, EpisodeFile(made.episodes, made.log_probs, made.about(found.name)))
    returns = made.episodes.rewards.sum(-1)
    steps = int(made.episodes.lengths.sum())
    figures = {
        "file": str(path), "episodes": episodes, "steps": steps,
        "return_mean": float(returns.mean()), "checkpoint": made.trained.update, "seed": made.seed,
    }  # fmt: skip
    if as_json:
        emit(figures)
        return
    paragraph(f"{counted(episodes, 'episode')}, {counted(steps, 'step')}, return {number(returns.mean())}")
    result(f"Saved to {path}")


def _file(out: str) -> Path:
    from rlcli.analysis.episode_file import is_episode_file

    path = Path(out)
    if path.suffix != ".npz":
        raise UserError(f"--out {out}: the name does not end in .npz.")
    if path.exists() and not is_episode_file(path):
        raise UserError(f"--out {out}: it exists, and is not a file of episodes; choose another name.")
    check_out(path)
    return path


def _folder(out: str) -> Path:
    path = Path(out)
    if DATASET.fullmatch(path.name) is None:
        raise UserError(f"--out {out}: a dataset's name ends in a version, such as {path.stem}-v0.")
    if path.exists():
        raise UserError(f"--out {out}: it exists; choose another name, or remove it.")
    check_out(path)
    return path
