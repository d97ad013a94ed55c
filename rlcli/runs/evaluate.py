"""Evaluation of a trained run: `rlcli eval`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from rlcli.collect.evaluation import evaluate, lanes
from rlcli.collect.tape import Tape
from rlcli.envs import registry
from rlcli.envs.untrusted import folder_kept, interrupts_noticed
from rlcli.envs.user_code import located
from rlcli.errors import RlcliError, UserError
from rlcli.runs import html
from rlcli.runs.policy import read_policy
from rlcli.runs.video import check_filmed, film
from rlcli.store.checkpoints import Which


class Figures(dict[str, Any]):
    """Figures of an evaluation by name; a table in a notebook."""

    def _repr_html_(self) -> str:
        return html.facts(f"evaluation of {Path(self['dir']).name}", self)


def evaluate_run(
    run_dir: Path,
    *,
    episodes: int = 100,
    max_steps: int | None = None,
    stochastic: bool = False,
    checkpoint: Which = "last",
    seed: int | None = None,
    imports: Sequence[str] = (),
    video: int = 0,
) -> Figures:
    """Plays episodes with a run's policy; returns `return_mean, return_std, episodes` and other figures.

    An episode that does not end is cut after `max_steps` steps (default: the run's eval.max_steps); `cut`
    is the number of those.

    Episode j has the seed hash(seed, 'evaluation', j); the seed is the run's own unless one is given.
    `imports` are modules that its environment may come from. `video` episodes are filmed into the run's
    folder videos/: the best, the worst, and then the first; the paths are the figure `videos`.

    Raises:
        UserError: there is no such checkpoint, no episode to play, or the environment cannot be filmed.
        StorageError: the run's files are damaged.
        RlcliError: the environment failed.
    """
    if episodes < 1:
        raise UserError(f"episodes={episodes}: at least one is needed.")
    if max_steps is not None and max_steps < 1:
        raise UserError(f"max_steps={max_steps}: at least one is needed.")
    if video < 0:
        raise UserError(f"video={video}: the number of episodes to film, at least 0.")
    trained = read_policy(run_dir, checkpoint, imports)
    if video:
        check_filmed(trained.config.env)
    torch.set_num_threads(trained.config.compute.threads)
    chosen = trained.config.seed if seed is None else seed
    squash = trained.config.network.squash
    env = registry.make(trained.config.env, 1, num_envs=lanes(episodes), squash=squash)
    limit = max_steps or trained.config.eval.max_steps
    tape = Tape(video) if video else None
    try:
        with folder_kept(), interrupts_noticed():
            played = evaluate(
                *trained.policy, env, chosen, episodes, max_steps=limit, stochastic=stochastic, tape=tape
            )
    except RlcliError:
        raise
    except Exception as error:
        raise RlcliError(f"{trained.spec.id} failed during the evaluation: {located(error)}") from error
    finally:
        env.close()
    assert played is not None
    figures = {name.removeprefix("eval/"): value for name, value in played.figures().items()}
    videos = {}
    if tape is not None:
        files = film(run_dir, trained.update, tape, trained.config.env, trained.spec.action)
        videos = {"videos": [str(path) for path in files]}
    about = {
        "checkpoint": trained.update, "seed": chosen, "deterministic": not stochastic, "dir": str(run_dir),
        "max_steps": limit,
    }  # fmt: skip
    return Figures({"cut": 0} | figures | videos | about)
