"""Python interface to trained runs: `rlcli.load(run)` for actions and metrics, `rlcli.evaluate(run)`."""

from __future__ import annotations

from pathlib import Path

from rlcli.runs.evaluate import Figures, evaluate_run
from rlcli.runs.loaded import LoadedRun
from rlcli.runs.policy import read_policy
from rlcli.store.checkpoints import Which
from rlcli.store.directory import find_run, runs_root


def load(
    run: str | Path = "last", *, checkpoint: Which = "last", runs_dir: str | None = None, seed: int = 0
) -> LoadedRun:
    """The policy of a run: a path, the beginning of its id, its name, or 'last'.

    `seed` sets the draws of `act(..., stochastic=True)`.

    Raises:
        UserError: there is no such run or checkpoint.
        StorageError: its files are damaged.
    """
    found = find_run(str(run), runs_root(runs_dir))
    return LoadedRun(found, read_policy(found, checkpoint), seed)


def evaluate(
    run: str | Path = "last",
    *,
    episodes: int = 100,
    max_steps: int | None = None,
    stochastic: bool = False,
    checkpoint: Which = "last",
    seed: int | None = None,
    runs_dir: str | None = None,
    video: int = 0,
) -> Figures:
    """Play episodes with a trained policy as `rlcli eval` would; its figures: return_mean, return_std, ...

    `run` is a path, the beginning of an id, a name, or 'last'. An environment that is registered by a module
    of your own needs that module imported first. `video` episodes are filmed; `videos` has the paths.

    Raises:
        UserError: there is no such run or checkpoint, no episode to play, or no way to film.
        StorageError: its files are damaged.
        RlcliError: the environment failed.
    """
    return evaluate_run(
        find_run(str(run), runs_root(runs_dir)), episodes=episodes, max_steps=max_steps,
        stochastic=stochastic, checkpoint=checkpoint, seed=seed, video=video,
    )  # fmt: skip
