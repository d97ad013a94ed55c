"""Evaluating a trained run: `rlcli eval`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from rlcli.collect.evaluation import evaluate, lanes
from rlcli.envs import registry
from rlcli.errors import RlcliError, UserError
from rlcli.runs.checkpoint import Which
from rlcli.runs.policy import read_policy


def evaluate_run(
    run_dir: Path,
    *,
    episodes: int = 100,
    stochastic: bool = False,
    checkpoint: Which = "last",
    seed: int | None = None,
    imports: Sequence[str] = (),
) -> dict[str, Any]:
    """Plays episodes with a run's policy; returns `return_mean, return_std, episodes` and more.

    Episode j has the seed hash(seed, 'evaluation', j); the seed is the run's own unless one is given.
    `imports` are modules that its environment may come from.

    Raises:
        UserError: there is no such checkpoint, or no episode to play.
        StorageError: the run's files are damaged.
        RlcliError: the environment failed.
    """
    if episodes < 1:
        raise UserError(f"episodes={episodes}: at least one is needed.")
    trained = read_policy(run_dir, checkpoint, imports)
    torch.set_num_threads(trained.config.compute.threads)
    chosen = trained.config.seed if seed is None else seed
    env = registry.make(trained.config.env, 1, num_envs=lanes(episodes))
    try:
        played = evaluate(*trained.policy, env, chosen, episodes, stochastic=stochastic)
    except RlcliError:
        raise
    except Exception as error:
        raise RlcliError(
            f"{trained.spec.id} failed during the evaluation: {type(error).__name__}: {error}"
        ) from error
    finally:
        env.close()
    assert played is not None
    figures = {name.removeprefix("eval/"): value for name, value in played.figures().items()}
    return figures | {
        "checkpoint": trained.update, "seed": chosen, "deterministic": not stochastic, "dir": str(run_dir)
    }  # fmt: skip
